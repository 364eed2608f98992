// All there is of a test framework for C++.
#pragma once

#include <cstdio>

inline int passed = 0;
inline int failed = 0;

#define CHECK(condition)                                          \
  do {                                                            \
    if (condition) {                                              \
      ++passed;                                                   \
    } else {                                                      \
      ++failed;                                                   \
      std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
    }                                                             \
  } while (false)
