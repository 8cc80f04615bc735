/* Names a moment of a run that unfreed records: unfreed_mark("warm").
 *
 * Then `unfreed report RUN@warm` says what was unfreed at that moment, and `unfreed diff RUN@warm RUN` what came after it.
 * It is one moment of all processes of the run. Saying a name again changes nothing but how often it was said; a run has
 * 256 names at most, of 80 bytes each. May be called at any time, in signal handlers too, and does nothing where the program
 * is not recorded. Nothing is to be linked (but -ldl with glibc before 2.34, in code that is not position independent).
 *
 * Python, recorded: ctypes.CDLL(None).unfreed_mark(b"warm")
 */
#ifndef UNFREED_H
#define UNFREED_H

#ifndef __PIC__
#include <dlfcn.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __PIC__
/* Of libunfreed.so, if that is loaded. */
__attribute__((weak)) void unfreed_mark(const char *name);
#endif

static inline void unfreed_mark_if_recorded(const char *name) {
#ifdef __PIC__
    void (*mark)(const char *) = unfreed_mark;
#else
    /* The linker would decide now that a weak function is not there. */
    static void (*volatile found)(const char *);
    void (*mark)(const char *) = found;
    if (!mark) {
        *(void **)&mark = dlsym(0, "unfreed_mark");
        found = mark;
    }
#endif
    if (mark)
        mark(name);
}

#define unfreed_mark(name) unfreed_mark_if_recorded(name)

#ifdef __cplusplus
}
#endif

#endif
