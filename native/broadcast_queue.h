// The transmit-limited broadcast queue (M-130 to M-139), used by one thread only.
//
// Order (M-131): fewest transmits first, then the largest that still fits, then the most recently
// filed. (memberlist: the most recently pushed; that would cost a search per record sent.) Among
// equal messages the oldest comes first, so that a stream of them cannot keep one waiting for ever.
// Membership records replace a queued one about the same subject (M-133); messages by their token.
// With feedback (ARCHITECTURE 5.10) news that does not keep its budget starts with half its transmits
// behind it, and hearing it from another member counts as one more. What is forwarded along rings
// starts with none, but each further hearing counts for a predecessor's share of what is left for the
// ticks: heard from all of them nothing is left, heard from few of them datagrams get lost.
// Unlike memberlist, messages have a share of every datagram (E-59): see `messageShare`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "broadcast_lane.h"
#include "broadcast_record.h"
#include "flat_index.h"
#include "types.h"

namespace tattler {

enum class EndReason : uint8_t {
  limit,     // sent as often as the limit asks for
  replaced,  // by a newer record about the same subject, or withdrawn by remove()
  pruned
};

struct Finished {
  uint32_t token;
  EndReason reason;
};

struct QueueCounters {
  uint64_t queued = 0;
  uint64_t sent = 0;
  uint64_t retired = 0;
  uint64_t replaced = 0;
  uint64_t pruned = 0;
};

class BroadcastQueue {
 public:
  struct Options {
    uint32_t retransmitMult = 4;
    uint32_t queueRecords = 4096;  // per class; the worst are pruned to make room for a new one
    double messageShare = 0.25;
    bool feedback = false;
    uint32_t urgentFanout = 0;  // rings that urgent news is forwarded along
    // Called once for every record the queue lets go of, to release what it refers to. It must not
    // call back into the queue.
    std::function<void(const Broadcast&)> onFree = {};
  };

  explicit BroadcastQueue(Options options);
  ~BroadcastQueue();
  BroadcastQueue(const BroadcastQueue&) = delete;
  BroadcastQueue& operator=(const BroadcastQueue&) = delete;

  // Members known; the limit is retransmitMult x ceil(log10(n + 1)), at least 1 (M-130).
  void setClusterSize(uint32_t members);
  uint32_t transmitLimit() const { return limit_; }
  // For messages, that of 100 members at least.
  uint32_t messageLimit() const { return messageLimit_; }

  // False, and onFree called, when the record is larger than any datagram.
  bool push(Broadcast record);

  // The records for one datagram; each now counts as sent once more. A record costs its wireBytes,
  // rounded up to 4, plus the overhead. Valid until the next call that is not const.
  std::span<const Broadcast* const> fill(size_t budgetBytes, size_t overheadPerRecord = 0);

  // The records that wait to be forwarded at once, oldest first, as far as they fit; each counts as
  // sent so often, and waits no more. Valid as long as a fill.
  std::span<const Broadcast* const> fillUrgent(size_t budgetBytes, uint32_t sends);
  bool hasUrgent() const { return !urgent_.empty(); }

  bool isQueued(MemberHandle subject) const { return indexOfSubject(subject) != 0; }
  // The queued membership record about the subject, or null. Valid as long as a fill.
  const Broadcast* find(MemberHandle subject) const;
  bool remove(MemberHandle subject);
  // Withdraws the queued message with this token, which is then reported as replaced.
  bool removeMessage(uint32_t token);
  // Counts hearing this very record from another member as a transmit, unless it keeps its budget.
  // False when not queued.
  bool noteHeard(MemberHandle subject, RecordClass kind, uint32_t incarnation);

  // Keep at most this many; drops the most transmitted, the smallest, the oldest first (M-139).
  void pruneMembership(size_t most);
  void pruneMessages(size_t most);

  size_t membershipDepth() const { return membership_.filed(); }
  size_t messageDepth() const { return messages_.filed(); }
  const QueueCounters& counters() const { return counters_; }
  // Tokens of the records that ended since the last call (M-083), in order.
  std::vector<Finished> takeFinished();
  size_t memoryBytes() const;

 private:
  struct Taken {
    BroadcastLane* lane;
    BroadcastLane::Run run;
  };

  BroadcastLane& laneOf(RecordClass kind) {
    return kind == RecordClass::message ? messages_ : membership_;
  }
  // Index in the membership lane plus 1, or 0.
  uint32_t indexOfSubject(MemberHandle subject) const;
  size_t reserveForMessages(size_t budgetBytes);
  void settleMessageCredit(size_t usedBytes);
  size_t take(BroadcastLane& lane, size_t budgetBytes, size_t overheadPerRecord);
  size_t takeMessages(size_t budgetBytes, size_t overheadPerRecord);
  void moveOn(BroadcastLane& lane, const BroadcastLane::Run& run);
  void prune(BroadcastLane& lane, size_t most);
  void releaseAll(BroadcastLane& lane);
  void end(BroadcastLane& lane, uint32_t index, EndReason reason);
  void count(const Broadcast& record, EndReason reason);
  void replace(uint32_t index, Broadcast&& record);
  void noteUrgent(Broadcast& record);
  uint16_t firstTier(const Broadcast& record) const;
  uint16_t weightOfHearing(const Broadcast& record) const;
  bool takeUrgent(MemberHandle subject, size_t& leftBytes, uint32_t sends);
  void index(const Broadcast& record, uint32_t place);
  void unindex(const Broadcast& record, uint32_t place);
  void freeEnded();
  void report(uint32_t token, EndReason reason);

  Options options_;
  uint32_t limit_ = 1;
  uint32_t messageLimit_ = 1;
  bool isForLargest_ = false;  // the next fill with messages begins with the largest
  size_t messageCredit_ = 0;  // bytes of their share that messages did not get to use so far
  BroadcastLane membership_{BroadcastLane::Among::newestFirst};
  BroadcastLane messages_{BroadcastLane::Among::oldestFirst};
  FlatIndex bySubject_;
  std::vector<MemberHandle> urgent_;  // oldest first; some may have gone or be urgent no more
  FlatIndex byToken_;  // messages that somebody waits for
  std::vector<const Broadcast*> picks_;
  std::vector<Taken> runs_;              // what the picks are made of
  std::vector<const Broadcast*> ended_;  // their slots stay readable until freeEnded()
  std::vector<Finished> finished_;
  QueueCounters counters_;
};

}  // namespace tattler
