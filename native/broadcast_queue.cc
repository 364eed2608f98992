#include "broadcast_queue.h"

#include <algorithm>
#include <utility>

namespace tattler {

namespace {

// Beyond any sensible limit; keeps the tiers few when an option is absurd.
constexpr uint32_t kMostTransmits = 1000;
constexpr size_t kKeptIndexBytes = 4096;

// Spreads neighbouring handles or tokens. It is a bijection, so an equal hash means the same one.
uint32_t hashOf(uint32_t key) { return key * 0x9e3779b1u; }

// What gossip misses of a message by chance, nobody repairs: it goes out as often as among 100
// members at least. To send more among few costs little.
constexpr uint64_t kFewestMessageDigits = 3;

uint64_t digitsOf(uint32_t members) {
  uint64_t digits = 0;
  for (uint64_t reach = 1; reach < uint64_t{members} + 1; reach *= 10) ++digits;
  return digits;
}

uint32_t transmitLimitFor(uint32_t retransmitMult, uint64_t digits) {
  return static_cast<uint32_t>(std::clamp<uint64_t>(retransmitMult * digits, 1, kMostTransmits));
}

}  // namespace

BroadcastQueue::BroadcastQueue(Options options)
    : options_(std::move(options)) {
  setClusterSize(1);
  options_.queueRecords = std::max(options_.queueRecords, 1u);
  options_.messageShare = std::clamp(options_.messageShare, 0.0, 1.0);
}

BroadcastQueue::~BroadcastQueue() {
  freeEnded();
  releaseAll(membership_);
  releaseAll(messages_);
}

void BroadcastQueue::setClusterSize(uint32_t members) {
  const uint64_t digits = digitsOf(members);
  limit_ = transmitLimitFor(options_.retransmitMult, digits);
  messageLimit_ = transmitLimitFor(options_.retransmitMult, std::max(digits, kFewestMessageDigits));
}

bool BroadcastQueue::push(Broadcast record) {
  freeEnded();
  if (record.wireBytes > BroadcastLane::kMaxUnits * 4) {
    if (options_.onFree) options_.onFree(record);
    return false;
  }
  ++counters_.queued;
  BroadcastLane& lane = laneOf(record.kind);
  const bool isMembership = &lane == &membership_;
  const MemberHandle subject = record.subject;
  if (record.flags & kUrgent) noteUrgent(record);
  if (const uint32_t old = isMembership ? indexOfSubject(subject) : 0) {
    replace(old - 1, std::move(record));
    return true;
  }
  // Room is made before, so that the newcomer is never the one to go.
  prune(lane, options_.queueRecords - 1);
  freeEnded();
  const uint16_t tier = firstTier(record);
  const uint32_t place = lane.add(std::move(record), tier);
  index(lane.at(place), place);
  return true;
}

void BroadcastQueue::replace(uint32_t index, Broadcast&& record) {
  Broadcast& old = membership_.at(index);
  membership_.unfile(index);
  count(old, EndReason::replaced);
  if (options_.onFree) options_.onFree(old);
  const uint16_t tier = firstTier(record);
  membership_.reuse(index, std::move(record), tier);
}

// Where nobody asks for what is urgent, the list ends somewhere; the records leave all the same.
void BroadcastQueue::noteUrgent(Broadcast& record) {
  if (urgent_.size() < options_.queueRecords) {
    urgent_.push_back(record.subject);
    if (options_.urgentFanout > 1) record.flags |= kOnRings;
  } else {
    record.flags &= static_cast<uint8_t>(~kUrgent);
  }
}

uint16_t BroadcastQueue::firstTier(const Broadcast& record) const {
  const bool isOrdinary = (record.flags & (kKeepsBudget | kOnRings)) == 0 && record.kind != RecordClass::message;
  return options_.feedback && isOrdinary ? static_cast<uint16_t>(limit_ / 2) : uint16_t{0};
}

uint16_t BroadcastQueue::weightOfHearing(const Broadcast& record) const {
  if ((record.flags & kOnRings) == 0) return 1;
  const uint32_t others = options_.urgentFanout - 1;
  const uint32_t forTicks = limit_ - std::min(limit_, options_.urgentFanout);
  return static_cast<uint16_t>(std::max(1u, (forTicks + others - 1) / others));
}

std::span<const Broadcast* const> BroadcastQueue::fill(size_t budgetBytes,
                                                       size_t overheadPerRecord) {
  freeEnded();
  picks_.clear();
  runs_.clear();
  const size_t reserved = reserveForMessages(budgetBytes);
  size_t left = budgetBytes - reserved;
  left -= take(membership_, left, overheadPerRecord);
  left += reserved;
  const size_t used = takeMessages(left, overheadPerRecord);
  settleMessageCredit(used);
  left -= used;
  if (reserved > 0) take(membership_, left, overheadPerRecord);
  // What was first is to stay in front of what was taken later: it is filed last where the newest
  // leads.
  for (size_t i = runs_.size(); i-- > 0;) {
    if (!runs_[i].lane->isOldestFirst()) moveOn(*runs_[i].lane, runs_[i].run);
  }
  for (const Taken& taken : runs_) {
    if (taken.lane->isOldestFirst()) moveOn(*taken.lane, taken.run);
  }
  counters_.sent += picks_.size();
  return picks_;
}

std::span<const Broadcast* const> BroadcastQueue::fillUrgent(size_t budgetBytes, uint32_t sends) {
  freeEnded();
  picks_.clear();
  size_t left = budgetBytes;
  size_t taken = 0;
  while (taken < urgent_.size() && takeUrgent(urgent_[taken], left, sends)) ++taken;
  // One that fits no datagram must not keep the others waiting.
  if (picks_.empty() && taken < urgent_.size()) ++taken;
  urgent_.erase(urgent_.begin(), urgent_.begin() + static_cast<std::ptrdiff_t>(taken));
  counters_.sent += picks_.size() * sends;
  return picks_;
}

// False when there is no room left for it.
bool BroadcastQueue::takeUrgent(MemberHandle subject, size_t& leftBytes, uint32_t sends) {
  const uint32_t place = indexOfSubject(subject);
  if (place == 0) return true;
  BroadcastLane::Entry& entry = membership_.at(place - 1);
  if ((entry.flags & kUrgent) == 0) return true;
  const size_t cost = entry.units() * size_t{4};
  if (cost > leftBytes) return false;
  leftBytes -= cost;
  membership_.unfile(place - 1);
  entry.flags &= static_cast<uint8_t>(~kUrgent);
  entry.transmits = static_cast<uint16_t>(std::min<uint64_t>(uint64_t{entry.transmits} + sends, kMostTransmits));
  picks_.push_back(&entry);
  moveOn(membership_, membership_.runOf(place - 1));
  return true;
}

// A share that is too small for the next message is saved up, so that under a constant load of
// membership news a big message waits for a few datagrams and not for ever (E-59).
size_t BroadcastQueue::reserveForMessages(size_t budgetBytes) {
  if (messages_.filed() == 0) return 0;
  const double share = static_cast<double>(budgetBytes) * options_.messageShare;
  const size_t grown = std::min(messageCredit_ + static_cast<size_t>(share), budgetBytes);
  messageCredit_ = std::max(messageCredit_, grown);
  return std::min(messageCredit_, budgetBytes);
}

void BroadcastQueue::settleMessageCredit(size_t usedBytes) {
  const bool isOwed = messages_.filed() > 0 && messageCredit_ > usedBytes;
  messageCredit_ = isOwed ? messageCredit_ - usedBytes : 0;
}

// Beside small messages a large one has no room, and new ones, sent less often, are always before
// it: every second time it comes first.
size_t BroadcastQueue::takeMessages(size_t budgetBytes, size_t overheadPerRecord) {
  if (messages_.filed() == 0) return 0;
  size_t left = budgetBytes;
  if (std::exchange(isForLargest_, !isForLargest_)) {
    const BroadcastLane::Run run = messages_.takeLargest(left, overheadPerRecord, picks_);
    if (run.count > 0) {
      left -= run.count * (run.units * size_t{4} + overheadPerRecord);
      runs_.push_back({&messages_, run});
    }
  }
  return budgetBytes - left + take(messages_, left, overheadPerRecord);
}

size_t BroadcastQueue::take(BroadcastLane& lane, size_t budgetBytes, size_t overheadPerRecord) {
  size_t left = budgetBytes;
  for (size_t transmits = 0; transmits < lane.tiers() && lane.filed() > 0;) {
    const BroadcastLane::Run run = lane.take(transmits, left, overheadPerRecord, picks_);
    if (run.count == 0) {
      ++transmits;
      continue;
    }
    left -= run.count * (run.units * size_t{4} + overheadPerRecord);
    runs_.push_back({&lane, run});
  }
  return budgetBytes - left;
}

// Files records that were sent once more, or ends them at the limit (M-132).
void BroadcastQueue::moveOn(BroadcastLane& lane, const BroadcastLane::Run& run) {
  if (run.transmits < (&lane == &messages_ ? messageLimit_ : limit_)) {
    lane.file(run);
    return;
  }
  uint32_t next = run.first;
  for (uint32_t left = run.count; left > 0; --left) {
    const uint32_t index = std::exchange(next, lane.at(next).next);
    end(lane, index, EndReason::limit);
  }
}

uint32_t BroadcastQueue::indexOfSubject(MemberHandle subject) const {
  return bySubject_.find(hashOf(subject), [](uint32_t) { return true; });
}

const Broadcast* BroadcastQueue::find(MemberHandle subject) const {
  const uint32_t index = indexOfSubject(subject);
  return index == 0 ? nullptr : &membership_.at(index - 1);
}

bool BroadcastQueue::remove(MemberHandle subject) {
  freeEnded();
  const uint32_t index = indexOfSubject(subject);
  if (index == 0) return false;
  membership_.unfile(index - 1);
  end(membership_, index - 1, EndReason::replaced);
  freeEnded();
  return true;
}

bool BroadcastQueue::removeMessage(uint32_t token) {
  freeEnded();
  const uint32_t place = byToken_.find(hashOf(token), [](uint32_t) { return true; });
  if (place == 0) return false;
  messages_.unfile(place - 1);
  end(messages_, place - 1, EndReason::replaced);
  freeEnded();
  return true;
}

bool BroadcastQueue::noteHeard(MemberHandle subject, RecordClass kind, uint32_t incarnation) {
  freeEnded();
  const uint32_t index = indexOfSubject(subject);
  if (index == 0) return false;
  const Broadcast& record = membership_.at(index - 1);
  if (record.kind != kind || record.incarnation != incarnation) return false;
  if (record.flags & kKeepsBudget) return true;
  const uint32_t heard = uint32_t{membership_.at(index - 1).transmits} + weightOfHearing(record);
  // What waits to be forwarded is forwarded once, however many told us meanwhile: in a mass failure
  // the pace makes everybody late, and nobody would pass it on.
  const uint32_t most = (record.flags & kUrgent) ? limit_ - 1 : kMostTransmits;
  membership_.unfile(index - 1);
  membership_.at(index - 1).transmits = static_cast<uint16_t>(std::min(heard, most));
  moveOn(membership_, membership_.runOf(index - 1));
  freeEnded();
  return true;
}

void BroadcastQueue::pruneMembership(size_t most) {
  freeEnded();
  prune(membership_, most);
  freeEnded();
}

void BroadcastQueue::pruneMessages(size_t most) {
  freeEnded();
  prune(messages_, most);
  freeEnded();
}

void BroadcastQueue::prune(BroadcastLane& lane, size_t most) {
  while (lane.filed() > most) {
    const uint32_t index = lane.worst();
    lane.unfile(index);
    end(lane, index, EndReason::pruned);
  }
}

void BroadcastQueue::releaseAll(BroadcastLane& lane) {
  for (uint32_t index = lane.worst(); index != BroadcastLane::kNone; index = lane.worst()) {
    lane.unfile(index);
    ended_.push_back(&lane.at(index));
  }
  freeEnded();
}

void BroadcastQueue::end(BroadcastLane& lane, uint32_t index, EndReason reason) {
  const Broadcast& record = lane.at(index);
  unindex(record, index);
  count(record, reason);
  ended_.push_back(&record);
}

void BroadcastQueue::count(const Broadcast& record, EndReason reason) {
  if (reason == EndReason::limit) ++counters_.retired;
  if (reason == EndReason::replaced) ++counters_.replaced;
  if (reason == EndReason::pruned) ++counters_.pruned;
  report(record.token, reason);
}

void BroadcastQueue::index(const Broadcast& record, uint32_t place) {
  if (record.kind != RecordClass::message) {
    bySubject_.insert(hashOf(record.subject), place + 1);
  } else if (record.token != 0) {
    byToken_.insert(hashOf(record.token), place + 1);
  }
}

void BroadcastQueue::unindex(const Broadcast& record, uint32_t place) {
  if (record.kind != RecordClass::message) {
    bySubject_.erase(hashOf(record.subject), place + 1);
  } else if (record.token != 0) {
    byToken_.erase(hashOf(record.token), place + 1);
  }
}

void BroadcastQueue::freeEnded() {
  for (const Broadcast* record : ended_) {
    if (options_.onFree) options_.onFree(*record);
    BroadcastLane& lane = laneOf(record->kind);
    lane.free(lane.indexOf(record));
  }
  ended_.clear();
  for (FlatIndex* index : {&bySubject_, &byToken_}) {
    if (index->size() == 0 && index->memoryBytes() > kKeptIndexBytes) index->clear();
  }
}

void BroadcastQueue::report(uint32_t token, EndReason reason) {
  if (token != 0) finished_.push_back({token, reason});
}

std::vector<Finished> BroadcastQueue::takeFinished() { return std::exchange(finished_, {}); }

size_t BroadcastQueue::memoryBytes() const {
  return membership_.memoryBytes() + messages_.memoryBytes() + bySubject_.memoryBytes() +
         byToken_.memoryBytes() + urgent_.capacity() * sizeof(MemberHandle);
}

}  // namespace tattler
