// Linked into prebuilt binaries only, so that one built on a new Linux loads wherever Node 20 itself does (glibc 2.28).
// glibc 2.34 moved the POSIX threads into libc under new versions of the same functions: references are wrapped
// (-Wl,--wrap) and bound to the first version. The other symbols are younger than 2.28 and answered here.
#include <pthread.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#define OLDEST_TEXT(name, version) ".symver oldest_" name "," name "@" version
#define OLDEST(function, parameters, arguments)                  \
  __asm__(OLDEST_TEXT(#function, TATTLER_GLIBC));                \
  int oldest_##function parameters;                              \
  int __wrap_##function parameters;                              \
  int __wrap_##function parameters { return oldest_##function arguments; }

extern "C" {

using Start = void* (*)(void*);
using Destroy = void (*)(void*);

OLDEST(pthread_create, (pthread_t* t, const pthread_attr_t* a, Start s, void* p), (t, a, s, p))
OLDEST(pthread_join, (pthread_t t, void** result), (t, result))
OLDEST(pthread_detach, (pthread_t t), (t))
OLDEST(pthread_once, (pthread_once_t* once, void (*init)()), (once, init))
OLDEST(pthread_key_create, (pthread_key_t* key, Destroy destroy), (key, destroy))
OLDEST(pthread_key_delete, (pthread_key_t key), (key))
OLDEST(pthread_setspecific, (pthread_key_t key, const void* value), (key, value))
OLDEST(pthread_rwlock_rdlock, (pthread_rwlock_t* lock), (lock))
OLDEST(pthread_rwlock_wrlock, (pthread_rwlock_t* lock), (lock))
OLDEST(pthread_rwlock_unlock, (pthread_rwlock_t* lock), (lock))

__asm__(OLDEST_TEXT("pthread_getspecific", TATTLER_GLIBC));
void* oldest_pthread_getspecific(pthread_key_t key);
void* __wrap_pthread_getspecific(pthread_key_t key);
void* __wrap_pthread_getspecific(pthread_key_t key) { return oldest_pthread_getspecific(key); }

// libstdc++ asks whether this exists to learn whether there are threads.
int __wrap___pthread_key_create(pthread_key_t* key, Destroy destroy);
int __wrap___pthread_key_create(pthread_key_t* key, Destroy destroy) { return oldest_pthread_key_create(key, destroy); }

// glibc 2.32: libstdc++ saves an atomic instruction where it is true. Node always has threads.
extern char __libc_single_threaded;
char __libc_single_threaded = 0;

// glibc 2.36: what libstdc++ takes random_device from.
uint32_t __wrap_arc4random();
uint32_t __wrap_arc4random() {
  uint32_t value = 0;
  if (::getentropy(&value, sizeof value) != 0) std::abort();
  return value;
}
}
