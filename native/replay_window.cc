#include "replay_window.h"

#include <algorithm>

#include "flat_index.h"

namespace tattler {

namespace {

constexpr size_t kFirstSlots = 8;
constexpr size_t kVictims = 64;

void shiftUp(uint64_t (&bits)[2], uint32_t by) {
  if (by >= ReplayWindow::kWindowBits) {
    bits[0] = bits[1] = 0;
  } else if (by >= 64) {
    bits[1] = bits[0] << (by - 64);
    bits[0] = 0;
  } else if (by > 0) {
    bits[1] = bits[1] << by | bits[0] >> (64 - by);
    bits[0] <<= by;
  }
}

}  // namespace

ReplayWindow::ReplayWindow(size_t maxEntries)
    : maxEntries_(std::max<size_t>(maxEntries, 1)), seed_(randomSeed()) {}

bool ReplayWindow::accept(uint64_t bootId, uint32_t counter, uint32_t nowSeconds) {
  const size_t at = slots_.empty() ? 0 : find(bootId);
  if (slots_.empty() || slots_[at].bits[0] == 0) {
    insert(bootId, counter, nowSeconds);
    return true;
  }
  Entry& entry = slots_[at];
  if (counter > entry.high) {
    shiftUp(entry.bits, counter - entry.high);
    entry.bits[0] |= 1;
    entry.high = counter;
  } else {
    const uint32_t behind = entry.high - counter;
    if (behind >= kWindowBits) return false;
    const uint64_t bit = uint64_t{1} << (behind % 64);
    if (entry.bits[behind / 64] & bit) return false;
    entry.bits[behind / 64] |= bit;
  }
  entry.lastSeen = nowSeconds;
  return true;
}

size_t ReplayWindow::homeOf(uint64_t boot) const {
  // The multiply-shift range reduction allows any table size, so that growth can be gentle.
  return static_cast<size_t>(uint64_t{foldHash(boot, seed_)} * slots_.size() >> 32);
}

size_t ReplayWindow::find(uint64_t boot) const {
  size_t at = homeOf(boot);
  while (slots_[at].bits[0] != 0 && slots_[at].boot != boot) at = next(at);
  return at;
}

void ReplayWindow::insert(uint64_t boot, uint32_t counter, uint32_t nowSeconds) {
  if (size_ == maxEntries_) evictOldest();
  if ((size_ + 1) * 8 > slots_.size() * 7) grow();
  slots_[find(boot)] = Entry{boot, counter, nowSeconds, {1, 0}};
  ++size_;
}

// By a quarter, not by doubling: thousands of windows with thousands of senders live in one process
// of the simulator, and the slack would be hundreds of megabytes.
void ReplayWindow::grow() {
  const size_t larger = std::max(kFirstSlots, slots_.size() + slots_.size() / 4);
  std::vector<Entry> old(larger, Entry{});
  old.swap(slots_);
  for (const Entry& entry : old) {
    if (entry.bits[0] != 0) slots_[find(entry.boot)] = entry;
  }
}

// Moves later entries of the run back, so that no tombstones slow down the next searches.
void ReplayWindow::erase(size_t gap) {
  for (size_t at = next(gap); slots_[at].bits[0] != 0; at = next(at)) {
    if (distance(homeOf(slots_[at].boot), at) < distance(gap, at)) continue;
    slots_[gap] = slots_[at];
    gap = at;
  }
  slots_[gap] = Entry{};
  --size_;
}

// One scan finds many victims: who was not seen since the scan is still among the longest unseen.
void ReplayWindow::evictOldest() {
  for (;;) {
    if (victims_.empty()) collectVictims();
    const Victim victim = victims_.back();
    victims_.pop_back();
    const size_t at = find(victim.boot);
    if (slots_[at].bits[0] == 0 || slots_[at].lastSeen != victim.lastSeen) continue;
    erase(at);
    return;
  }
}

void ReplayWindow::collectVictims() {
  for (const Entry& entry : slots_) {
    if (entry.bits[0] == 0) continue;
    const Victim candidate{entry.lastSeen, entry.boot};
    if (victims_.size() == kVictims) {
      if (!(candidate < victims_.front())) continue;
      std::pop_heap(victims_.begin(), victims_.end());
      victims_.pop_back();
    }
    victims_.push_back(candidate);
    std::push_heap(victims_.begin(), victims_.end());
  }
  std::sort_heap(victims_.begin(), victims_.end());
  std::reverse(victims_.begin(), victims_.end());
}

}  // namespace tattler
