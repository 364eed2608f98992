// CRC-32C (Castagnoli), guarding datagrams of clusters without keys against corruption.
#pragma once

#include "types.h"

namespace tattler {

// Continues `crc` (0 at the start) over `bytes`.
uint32_t crc32c(uint32_t crc, Bytes bytes);

}  // namespace tattler
