// Keeps what it allocates, for ever: fill_the_cache is what it will die of. With a little of everything else.
#include "target.h"

LEAKER(fill_the_cache)
LEAKER(keep_a_little)

int main(void) {
    for (size_t i = 0; i < 100000; i++) {
        if (!fill_the_cache(10001))
            return 1;
        if (i % 64 == 0)
            keep_a_little(1003);
        CHURN(20);
    }
    return 2;
}
