#include "broadcast_queue.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace tattler {

namespace {

// Beyond any sensible limit; keeps the tiers few when an option is absurd.
constexpr uint64_t kMostTransmits = 1000;
constexpr size_t kKeptIndexBytes = 4096;

uint32_t transmitLimitFor(uint32_t retransmitMult, uint32_t members) {
  uint64_t digits = 0;
  for (uint64_t reach = 1; reach < uint64_t{members} + 1; reach *= 10) ++digits;
  return static_cast<uint32_t>(std::clamp<uint64_t>(retransmitMult * digits, 1, kMostTransmits));
}

}  // namespace

// --- BroadcastLane ---

uint32_t BroadcastLane::add(Broadcast&& record) {
  uint32_t index = freeEntry_;
  if (index == kNone) {
    index = static_cast<uint32_t>(entries_.size());
    // Half again, not twice: a join storm fills thousands of queues at once.
    if (entries_.size() == entries_.capacity()) entries_.reserve(index + index / 2 + 8);
    entries_.emplace_back();
  } else {
    freeEntry_ = entries_[index].next;
  }
  ++live_;
  reuse(index, std::move(record));
  return index;
}

void BroadcastLane::reuse(uint32_t index, Broadcast&& record) {
  Entry& entry = entries_[index];
  static_cast<Broadcast&>(entry) = std::move(record);
  entry.transmits = 0;
  file(runOf(index));
}

void BroadcastLane::free(uint32_t index) {
  Entry& entry = entries_[index];
  entry.content = ContentRef();
  entry.next = std::exchange(freeEntry_, index);
  if (--live_ == 0) reset();
}

// An empty lane gives back what a storm made it allocate.
void BroadcastLane::reset() {
  if (entries_.capacity() <= kKeptEntries) return;
  std::vector<Entry>().swap(entries_);  // an assignment of {} would keep the capacity
  std::vector<Tier>().swap(tiers_);
  std::vector<Chunk>().swap(chunks_);
  freeEntry_ = kNone;
  freeChunk_ = kNone;
}

void BroadcastLane::file(const Run& run) {
  if (run.transmits >= tiers_.size()) tiers_.resize(run.transmits + size_t{1});
  Tier& tier = tiers_[run.transmits];
  Chunk& chunk = chunkFor(tier, run.units / kChunkUnits);
  const uint32_t bucket = run.units % kChunkUnits;
  const uint64_t bit = uint64_t{1} << bucket;
  const bool isFirst = (chunk.used & bit) == 0;
  const uint32_t next = isFirst ? run.first : chunk.head[bucket];
  const uint32_t previous = isFirst ? run.last : entries_[next].previous;
  entries_[run.last].next = next;
  entries_[next].previous = run.last;
  entries_[run.first].previous = previous;
  entries_[previous].next = run.first;
  chunk.used |= bit;
  chunk.head[bucket] = run.first;
  tier.count += run.count;
  filed_ += run.count;
}

void BroadcastLane::unfile(uint32_t index) {
  const Entry& entry = entries_[index];
  Tier& tier = tiers_[entry.transmits];
  const uint32_t units = entry.units();
  if (entry.next == index) {
    clearBucket(tier, units);
  } else {
    entries_[entry.previous].next = entry.next;
    entries_[entry.next].previous = entry.previous;
    uint32_t& head = chunks_[tier.chunks[units / kChunkUnits]].head[units % kChunkUnits];
    if (head == index) head = entry.next;
  }
  forget(entry.transmits, 1);
}

BroadcastLane::Run BroadcastLane::take(size_t transmits, size_t budgetBytes, size_t overhead,
                                       std::vector<const Broadcast*>& picks) {
  Tier& tier = tiers_[transmits];
  if (tier.count == 0 || budgetBytes < overhead) return {};
  const Bucket bucket = largestFitting(tier, (budgetBytes - overhead) / 4);
  if (bucket.chunk == kNone) return {};
  const size_t cost = bucket.units * size_t{4} + overhead;
  size_t room = cost == 0 ? filed_ : budgetBytes / cost;
  uint32_t& head = chunks_[bucket.chunk].head[bucket.units % kChunkUnits];
  const uint32_t end = entries_[head].previous;
  Run run{head, kNone, 0, static_cast<uint16_t>(transmits), bucket.units};
  for (uint32_t at = head; room > 0 && run.last != end; at = entries_[at].next, --room) {
    Entry& entry = entries_[at];
    ++entry.transmits;
    picks.push_back(&entry);
    run.last = at;
    ++run.count;
  }
  if (run.last == end) {
    clearBucket(tier, bucket.units);
  } else {
    head = entries_[run.last].next;
    entries_[head].previous = end;
    entries_[end].next = head;
  }
  forget(run.transmits, run.count);
  ++run.transmits;
  return run;
}

void BroadcastLane::forget(uint16_t transmits, uint32_t count) {
  tiers_[transmits].count -= count;
  filed_ -= count;
}

void BroadcastLane::clearBucket(Tier& tier, uint32_t units) {
  uint32_t& place = tier.chunks[units / kChunkUnits];
  Chunk& chunk = chunks_[place];
  chunk.used &= ~(uint64_t{1} << (units % kChunkUnits));
  if (chunk.used != 0) return;
  chunk.head[0] = std::exchange(freeChunk_, place);
  place = kNone;
}

BroadcastLane::Bucket BroadcastLane::largestFitting(const Tier& tier, size_t units) const {
  size_t number = std::min(units / kChunkUnits, tier.chunks.size() - 1);
  const bool isCut = number == units / kChunkUnits;
  uint64_t fitting = isCut ? (uint64_t{2} << (units % kChunkUnits)) - 1 : ~uint64_t{0};
  for (;; --number, fitting = ~uint64_t{0}) {
    const uint32_t place = tier.chunks[number];
    const uint64_t found = place == kNone ? 0 : chunks_[place].used & fitting;
    if (found != 0) {
      const size_t bucket = 63 - static_cast<size_t>(std::countl_zero(found));
      return {place, static_cast<uint16_t>(number * kChunkUnits + bucket)};
    }
    if (number == 0) return {kNone, 0};
  }
}

uint32_t BroadcastLane::worst() const {
  for (size_t transmits = tiers_.size(); transmits-- > 0;) {
    if (tiers_[transmits].count == 0) continue;
    for (const uint32_t place : tiers_[transmits].chunks) {
      if (place == kNone) continue;
      const Chunk& chunk = chunks_[place];
      return entries_[chunk.head[std::countr_zero(chunk.used)]].previous;
    }
  }
  return kNone;
}

size_t BroadcastLane::memoryBytes() const {
  size_t bytes = entries_.capacity() * sizeof(Entry) + chunks_.capacity() * sizeof(Chunk);
  for (const Tier& tier : tiers_) bytes += sizeof(Tier) + tier.chunks.capacity() * 4;
  return bytes;
}

BroadcastLane::Chunk& BroadcastLane::chunkFor(Tier& tier, uint32_t number) {
  if (number >= tier.chunks.size()) tier.chunks.resize(number + size_t{1}, kNone);
  if (tier.chunks[number] == kNone) tier.chunks[number] = takeChunk();
  return chunks_[tier.chunks[number]];
}

uint32_t BroadcastLane::takeChunk() {
  uint32_t place = freeChunk_;
  if (place == kNone) {
    place = static_cast<uint32_t>(chunks_.size());
    chunks_.emplace_back();
  } else {
    freeChunk_ = chunks_[place].head[0];
  }
  chunks_[place].used = 0;
  return place;
}

// --- BroadcastQueue ---

BroadcastQueue::BroadcastQueue(Options options)
    : options_(std::move(options)), limit_(transmitLimitFor(options_.retransmitMult, 1)) {
  options_.queueRecords = std::max(options_.queueRecords, 1u);
  options_.messageShare = std::clamp(options_.messageShare, 0.0, 1.0);
}

BroadcastQueue::~BroadcastQueue() {
  freeEnded();
  releaseAll(membership_);
  releaseAll(messages_);
}

void BroadcastQueue::setClusterSize(uint32_t members) {
  limit_ = transmitLimitFor(options_.retransmitMult, members);
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
  if (const uint32_t old = isMembership ? indexOfSubject(subject) : 0) {
    replace(old - 1, std::move(record));
    return true;
  }
  // Room is made before, so that the newcomer is never the one to go.
  prune(lane, options_.queueRecords - 1);
  freeEnded();
  const uint32_t index = lane.add(std::move(record));
  if (isMembership) bySubject_.insert(subject, index + 1);
  return true;
}

void BroadcastQueue::replace(uint32_t index, Broadcast&& record) {
  Broadcast& old = membership_.at(index);
  membership_.unfile(index);
  count(old, EndReason::replaced);
  if (options_.onFree) options_.onFree(old);
  membership_.reuse(index, std::move(record));
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
  const size_t used = take(messages_, left, overheadPerRecord);
  settleMessageCredit(used);
  left -= used;
  if (reserved > 0) take(membership_, left, overheadPerRecord);
  // Backwards, so that what was first stays in front of what was taken later.
  for (size_t i = runs_.size(); i-- > 0;) moveOn(*runs_[i].lane, runs_[i].run);
  counters_.sent += picks_.size();
  return picks_;
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
  if (run.transmits < limit_) {
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
  // The handle is its own hash, so an equal hash is the same subject.
  return bySubject_.find(subject, [](uint32_t) { return true; });
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

bool BroadcastQueue::noteHeard(MemberHandle subject, RecordClass kind, uint32_t incarnation) {
  freeEnded();
  const uint32_t index = indexOfSubject(subject);
  if (index == 0) return false;
  const Broadcast& record = membership_.at(index - 1);
  if (record.kind != kind || record.incarnation != incarnation) return false;
  membership_.unfile(index - 1);
  ++membership_.at(index - 1).transmits;
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
  if (&lane == &membership_) bySubject_.erase(record.subject, index + 1);
  count(record, reason);
  ended_.push_back(&record);
}

void BroadcastQueue::count(const Broadcast& record, EndReason reason) {
  if (reason == EndReason::limit) ++counters_.retired;
  if (reason == EndReason::replaced) ++counters_.replaced;
  if (reason == EndReason::pruned) ++counters_.pruned;
  report(record.token, reason);
}

void BroadcastQueue::freeEnded() {
  for (const Broadcast* record : ended_) {
    if (options_.onFree) options_.onFree(*record);
    BroadcastLane& lane = laneOf(record->kind);
    lane.free(lane.indexOf(record));
  }
  ended_.clear();
  if (bySubject_.size() == 0 && bySubject_.memoryBytes() > kKeptIndexBytes) bySubject_.clear();
}

void BroadcastQueue::report(uint32_t token, EndReason reason) {
  if (token == 0) return;
  if (finished_.size() < kMostFinished) {
    finished_.push_back({token, reason});
  } else {
    ++counters_.finishedLost;
  }
}

std::vector<Finished> BroadcastQueue::takeFinished() { return std::exchange(finished_, {}); }

size_t BroadcastQueue::memoryBytes() const {
  return membership_.memoryBytes() + messages_.memoryBytes() + bySubject_.memoryBytes();
}

}  // namespace tattler
