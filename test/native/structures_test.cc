// Unit tests of native/interner, replay_window and broadcast_queue. No framework:
//   g++ -std=c++20 -pthread -Inative test/native/structures_test.cc
//       native/{interner,replay_window,broadcast_lane,broadcast_queue}.cc && ./a.out
#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "broadcast_queue.h"
#include "check.h"
#include "interner.h"
#include "queue_cases.h"
#include "queue_model.h"
#include "replay_window.h"

using namespace tattler;

namespace {

using Dice = std::mt19937_64;

uint32_t below(Dice& dice, uint32_t bound) { return static_cast<uint32_t>(dice() % bound); }

// --- Interner ---

Address addressNumber(uint32_t number) {
  Address address;
  address.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0};
  std::memcpy(address.ip.data() + 13, &number, 3);
  address.port = static_cast<uint16_t>(7946 + number % 3);
  return address;
}

void testSipHash() {
  // The reference vectors of the SipHash paper and its vectors.h: key 00..0f, input 00, 01, ...
  const std::pair<size_t, uint64_t> vectors[] = {
      {0, 0x726fdb47dd0e0e31u},  {1, 0x74f839c593dc67fdu},  {2, 0x0d6c8009d9a94f5au},
      {3, 0x85676696d7fb7e2du},  {7, 0xab0200f58b01d137u},  {8, 0x93f5f5799a932462u},
      {15, 0xa129ca6149be45e5u}, {16, 0x3f2acc7f57c29bdbu}, {63, 0x958a324ceb064572u}};
  std::vector<uint8_t> input(64);
  for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<uint8_t>(i);
  for (const auto& [length, expected] : vectors) {
    CHECK(sipHash24(0x0706050403020100u, 0x0f0e0d0c0b0a0908u, {input.data(), length}) == expected);
  }
  // Part of the wire format: a change of these is a new protocol version.
  CHECK(Interner::idOfName("node-1") == 0x9b95bc412db1a006u);
  CHECK(Interner::idOfName("") != 0);
}

void testNames() {
  Interner interner([] { return uint64_t{0}; }, 3);
  CHECK(interner.findName("a") == 0);
  CHECK(interner.intern("a") == 1 && interner.intern("b") == 2 && interner.intern("a") == 1);
  CHECK(interner.findName("b") == 2 && interner.findId(Interner::idOfName("b")) == 2);
  CHECK(interner.nameOf(1) == "a" && interner.idOf(2) == Interner::idOfName("b"));
  CHECK(interner.nameOf(0).empty() && interner.nameOf(9).empty() && interner.idOf(9) == 0);
  CHECK(interner.intern("c") == 3 && interner.intern("d") == 0 && interner.memberCount() == 3);
  interner.release(1);
  CHECK(interner.findName("a") == 1);
  interner.release(1);
  CHECK(interner.findName("a") == 0);
  interner.release(1);
  CHECK(!interner.retain(1) && interner.memberCount() == 2);
  CHECK(interner.retain(2));
  interner.release(2);
  CHECK(interner.findName("b") == 2);
}

void testIdCollision() {
  // Two names with one id, found by a search of 2^32 names.
  Interner interner([] { return uint64_t{0}; });
  CHECK(Interner::idOfName("c4f1f6a22d17ab49") == Interner::idOfName("9fc2f875e25acb3b"));
  CHECK(interner.intern("c4f1f6a22d17ab49") == 1);
  CHECK(interner.intern("9fc2f875e25acb3b") == 0 && interner.findName("9fc2f875e25acb3b") == 0);
  CHECK(interner.findName("c4f1f6a22d17ab49") == 1);
}

void testQuarantine() {
  uint64_t written = 10;
  Interner interner([&] { return written; });
  const MemberHandle first = interner.intern("first");
  const AddressHandle socket = interner.internAddress(addressNumber(1));
  interner.release(first);
  interner.releaseAddress(socket);
  CHECK(interner.nameOf(first) == "first" && *interner.addressOf(socket) == addressNumber(1));
  interner.recycle(9);
  const MemberHandle second = interner.intern("first");
  CHECK(second != first && interner.internAddress(addressNumber(1)) != socket);
  written = 12;
  interner.release(second);
  interner.recycle(10);
  CHECK(interner.quarantined() == 1);
  CHECK(interner.intern("third") == first && interner.nameOf(first) == "third");
  CHECK(interner.internAddress(addressNumber(2)) == socket);
  CHECK(interner.findAddress(addressNumber(2)) == socket && interner.addressOf(99) == nullptr);
  interner.recycle(12);
  CHECK(interner.intern("fourth") == second && interner.quarantined() == 0);
}

void testInternerModel() {
  Dice dice(7);
  uint64_t written = 0;
  Interner interner([&] { return written; });
  std::map<uint32_t, std::pair<uint32_t, uint32_t>> model;  // number -> handle, references
  bool same = true;
  for (int step = 0; step < 200000; ++step) {
    const uint32_t number = below(dice, 3000);
    const auto known = model.find(number);
    const AddressHandle found = interner.findAddress(addressNumber(number));
    same &= found == (known == model.end() ? 0 : known->second.first);
    if (below(dice, 2) == 0) {
      const AddressHandle handle = interner.internAddress(addressNumber(number));
      same &= found == 0 || handle == found;
      same &= *interner.addressOf(handle) == addressNumber(number);
      auto& entry = model[number];
      entry = {handle, entry.second + 1};
    } else if (known != model.end()) {
      interner.releaseAddress(found);
      if (--known->second.second == 0) model.erase(known);
    }
    if (step % 100 == 0) interner.recycle(written++);
  }
  CHECK(same && interner.addressCount() == model.size());
}

void testConcurrentLookups() {
  constexpr uint32_t stable = 64;
  std::atomic<uint64_t> written{0};
  std::atomic<bool> stop{false};
  Interner interner([&] { return written.load(); });
  for (uint32_t i = 0; i < stable; ++i) interner.intern("stable-" + std::to_string(i));
  std::atomic<uint64_t> wrong{0};
  std::thread reader([&] {
    Dice dice(1);
    while (!stop.load()) {
      const uint32_t number = below(dice, stable);
      const auto lock = interner.reader();
      if (interner.findName("stable-" + std::to_string(number)) != number + 1) ++wrong;
      const AddressHandle handle = interner.findAddress(addressNumber(number));
      if (handle != 0 && !(*interner.addressOf(handle) == addressNumber(number))) ++wrong;
      written.fetch_add(1);
    }
  });
  for (uint32_t i = 0; i < 20000; ++i) {
    const MemberHandle member = interner.intern("passing-" + std::to_string(i));
    const AddressHandle socket = interner.internAddress(addressNumber(i % stable));
    interner.release(member);
    interner.releaseAddress(socket);
    interner.recycle(written.load());
  }
  stop = true;
  reader.join();
  CHECK(wrong.load() == 0 && interner.memberCount() == stable);
}

// --- ReplayWindow ---

struct ReplayModel {
  std::vector<uint32_t> seen;
  uint32_t high = 0;

  bool accept(uint32_t counter) {
    if (!seen.empty() && counter < high && high - counter > 127) return false;
    if (std::find(seen.begin(), seen.end(), counter) != seen.end()) return false;
    seen.push_back(counter);
    high = std::max(high, counter);
    return true;
  }
};

void testReplayExhaustively() {
  // Every sequence of four counters around the edges of the words and of the window.
  const uint32_t counters[] = {0,   1,   63,  64,  65,  126, 127,         128,
                               129, 190, 191, 192, 255, 256, 0xfffffffeu, 0xffffffffu};
  bool same = true;
  for (uint32_t code = 0; code < 16 * 16 * 16 * 16; ++code) {
    ReplayWindow window;
    ReplayModel model;
    for (uint32_t shift = 0; shift < 16; shift += 4) {
      const uint32_t counter = counters[code >> shift & 15];
      same &= window.accept(5, counter, 0) == model.accept(counter);
    }
  }
  CHECK(same);
}

void testReplayManySenders() {
  Dice dice(3);
  ReplayWindow window;
  std::map<uint64_t, ReplayModel> model;
  bool same = true;
  for (int step = 0; step < 200000; ++step) {
    const uint64_t boot = below(dice, 1000) * uint64_t{0x100000000};
    const uint32_t counter = static_cast<uint32_t>(step) / 1000 + below(dice, 150);
    const bool expected = model[boot].accept(counter);
    same &= window.accept(boot, counter, static_cast<uint32_t>(step)) == expected;
  }
  CHECK(same && window.size() == model.size());
}

void testReplayEviction() {
  constexpr size_t most = 300;
  Dice dice(4);
  ReplayWindow window(most);
  std::map<uint64_t, uint32_t> lastSeen;
  bool same = true;
  for (uint32_t now = 0; now < 20000; ++now) {
    const uint64_t boot = below(dice, 600);
    const bool isKnown = lastSeen.contains(boot);
    if (!isKnown && lastSeen.size() == most) {
      const auto older = [](const auto& a, const auto& b) { return a.second < b.second; };
      lastSeen.erase(std::min_element(lastSeen.begin(), lastSeen.end(), older));
    }
    // A known sender repeats its counter unless it moves on; a forgotten one is new again.
    same &= isKnown ? !window.accept(boot, lastSeen[boot] + 1, now) : true;
    same &= window.accept(boot, now + 1, now);
    lastSeen[boot] = now;
    same &= window.size() == lastSeen.size();
  }
  CHECK(same);
}

// --- BroadcastQueue: scenarios ---

std::vector<uint32_t> subjects(std::span<const Broadcast* const> picks) {
  std::vector<uint32_t> list;
  for (const Broadcast* pick : picks) list.push_back(pick->subject);
  return list;
}

using List = std::vector<uint32_t>;

void testTransmitLimit() {
  BroadcastQueue queue({});
  const std::pair<uint32_t, uint32_t> rows[] = {{0, 1},   {1, 4},     {9, 4},      {10, 8},
                                                {99, 8},  {100, 12},  {999, 12},   {1000, 16},
                                                {9999, 16}, {10000, 20}, {4294967295u, 40}};
  for (const auto& [members, limit] : rows) {
    queue.setClusterSize(members);
    CHECK(queue.transmitLimit() == limit);
  }
  const std::pair<uint32_t, uint32_t> messageRows[] = {{0, 12}, {1, 12}, {99, 12}, {100, 12},
                                                       {1000, 16}, {9999, 16}, {10000, 20}};
  for (const auto& [members, limit] : messageRows) {
    queue.setClusterSize(members);
    CHECK(queue.messageLimit() == limit);
  }
}

void testOrder() {
  BroadcastQueue queue({});
  queue.push(record(RecordClass::suspect, 1, 24));
  queue.push(record(RecordClass::alive, 2, 60));
  queue.push(record(RecordClass::suspect, 3, 24));
  CHECK(subjects(queue.fill(60)) == List{2});             // the largest that fits
  CHECK(subjects(queue.fill(24)) == List{3});             // the newest of two
  CHECK((subjects(queue.fill(200)) == List{1, 2, 3}));    // the fewest transmits first
  CHECK(subjects(queue.fill(27, 4)).empty());             // overhead counts
  CHECK(subjects(queue.fill(28, 4)) == List{1});          // 1 was sent once, 2 and 3 twice
  CHECK(queue.membershipDepth() == 3);
}

void testMessagesLeaveInTheirOrder() {
  BroadcastQueue queue({.queueRecords = 3});
  for (uint32_t i = 1; i <= 3; ++i) queue.push(record(RecordClass::message, i, 24, i));
  CHECK((subjects(queue.fill(48)) == List{1, 2}));
  CHECK((subjects(queue.fill(48)) == List{3, 1}));
  CHECK((subjects(queue.fill(48)) == List{2, 3}));
  CHECK(queue.removeMessage(2) && !queue.removeMessage(2) && !queue.removeMessage(0));
  queue.push(record(RecordClass::message, 4, 24, 4));
  queue.push(record(RecordClass::message, 5, 24, 5));  // makes 1 go: as often sent as 3, but older
  CHECK((subjects(queue.fill(200)) == List{4, 5, 3}));
  const std::vector<Finished> ends = queue.takeFinished();
  CHECK(ends.size() == 2);
  CHECK(ends[0].token == 2 && ends[0].reason == EndReason::replaced);
  CHECK(ends[1].token == 1 && ends[1].reason == EndReason::pruned);
}

void testReplaceAndReport() {
  int freed = 0;
  BroadcastQueue queue({.retransmitMult = 0,  // sends all once
                        .queueRecords = 3,
                        .onFree = [&](const Broadcast&) { ++freed; }});
  queue.push(record(RecordClass::alive, 1, 60, 11));
  queue.push(record(RecordClass::death, 1, 24, 12));
  CHECK(queue.membershipDepth() == 1 && queue.find(1)->kind == RecordClass::death);
  queue.push(record(RecordClass::message, 1, 24, 13));
  CHECK(queue.messageDepth() == 1 && freed == 1);
  queue.push(record(RecordClass::death, 2, 60));
  queue.push(record(RecordClass::death, 3, 60));
  queue.push(record(RecordClass::death, 4, 20));
  CHECK(!queue.isQueued(1) && queue.isQueued(4) && queue.membershipDepth() == 3);
  CHECK(queue.fill(1000).size() == 4 && queue.membershipDepth() == 0 && freed == 2);
  CHECK(!queue.push(record(RecordClass::message, 0, 70000)) && freed == 7);
  const std::vector<Finished> ends = queue.takeFinished();
  CHECK(ends.size() == 3 && queue.takeFinished().empty());
  CHECK(ends[0].token == 11 && ends[0].reason == EndReason::replaced);
  CHECK(ends[1].token == 12 && ends[1].reason == EndReason::pruned);
  CHECK(ends[2].token == 13 && ends[2].reason == EndReason::limit);
  CHECK(!queue.remove(4) && queue.counters().retired == 4 && queue.counters().sent == 4);
}

void testHeardCountsAsSent() {
  BroadcastQueue queue({.retransmitMult = 2});
  queue.push(record(RecordClass::alive, 1, 60));
  CHECK(!queue.noteHeard(1, RecordClass::death, 0) && !queue.noteHeard(1, RecordClass::alive, 7));
  CHECK(queue.noteHeard(1, RecordClass::alive, 0) && queue.isQueued(1));
  CHECK(queue.noteHeard(1, RecordClass::alive, 0) && !queue.isQueued(1));
}

void testMessageShare() {
  BroadcastQueue queue({.retransmitMult = 1000, .messageShare = 0.25});
  for (uint32_t i = 1; i <= 500; ++i) queue.push(record(RecordClass::suspect, i, 24));
  queue.push(record(RecordClass::message, 0, 600));
  int fills = 0;
  bool isSent = false;
  while (!isSent && fills < 100) {
    ++fills;
    size_t bytes = 0;
    for (const Broadcast* pick : queue.fill(1200)) {
      isSent |= pick->kind == RecordClass::message;
      bytes += pick->wireBytes;
    }
    CHECK(bytes == 1200);  // what one class leaves, the other takes
  }
  CHECK(fills == 2);  // half a datagram is two quarters
}

void testMemoryComesBack() {
  BroadcastQueue queue({.queueRecords = 10000});
  queue.setClusterSize(0);
  for (uint32_t i = 1; i <= 5000; ++i) queue.push(record(RecordClass::alive, i, 60 + i % 900));
  while (queue.membershipDepth() > 0) queue.fill(1360);
  queue.push(record(RecordClass::alive, 1, 60));
  CHECK(queue.memoryBytes() < 1000 && queue.fill(1360).size() == 1);
}

void testContentIsShared() {
  const uint8_t meta[] = {1, 2, 3};
  ContentRef content = Content::make({.name = "node", .payload = meta});
  BroadcastQueue left({});
  {
    BroadcastQueue right({});
    for (BroadcastQueue* queue : {&left, &right}) {
      Broadcast alive = record(RecordClass::alive, 1, 60);
      alive.content = content;
      queue->push(std::move(alive));
    }
    content = ContentRef();
  }
  const Broadcast& sent = *left.fill(100)[0];
  CHECK(sent.content->name() == "node" && sent.content->payload().size() == 3);
  CHECK(sent.content->payload()[2] == 3);
}

void testQueueModel() {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    const bool same = QueueModelTest(seed).run(6000);
    CHECK(same);
    if (!same) std::printf("  seed %llu\n", static_cast<unsigned long long>(seed));
  }
}

}  // namespace

int main() {
  testSipHash();
  testNames();
  testIdCollision();
  testQuarantine();
  testInternerModel();
  testConcurrentLookups();
  testReplayExhaustively();
  testReplayManySenders();
  testReplayEviction();
  testTransmitLimit();
  testOrder();
  testMessagesLeaveInTheirOrder();
  testReplaceAndReport();
  testUrgentNewsIsForwardedOnce();
  testFeedbackHalvesWhatMayBeHalved();
  testHearingFromAllPredecessorsEndsUrgentNews();
  testHeardCountsAsSent();
  testMessageShare();
  testMemoryComesBack();
  testContentIsShared();
  testQueueModel();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
