// The base line: a thousand blocks that are freed, three that are not.
#include "target.h"
LEAKER(leak_basic)

int main(void) {
    CHURN(1000);
    for (int i = 1; i <= 3; i++) {
        leak_basic(10000 + i);
        CHURN(10);
    }
    puts("ok");
    return 3;
}
