// Rules of the broadcast queue beyond memberlist's: the urgent lane and feedback.
#pragma once

#include "broadcast_queue.h"
#include "check.h"

namespace tattler {

inline Broadcast record(RecordClass kind, MemberHandle subject, uint32_t wireBytes, uint32_t token = 0) {
  Broadcast made;
  made.kind = kind;
  made.subject = subject;
  made.wireBytes = wireBytes;
  made.token = token;
  return made;
}

inline Broadcast flagged(RecordClass kind, uint32_t subject, uint8_t flags) {
  Broadcast made = record(kind, subject, 24);
  made.flags = flags;
  return made;
}

inline void testUrgentNewsIsForwardedOnce() {
  BroadcastQueue queue({.retransmitMult = 8});
  queue.push(flagged(RecordClass::suspect, 1, 0));
  queue.push(flagged(RecordClass::death, 2, kUrgent));
  queue.push(flagged(RecordClass::death, 3, kUrgent));
  const auto first = queue.fillUrgent(24, 4);
  CHECK(first.size() == 1 && first[0]->subject == 2 && queue.hasUrgent());
  CHECK(queue.fillUrgent(1000, 4)[0]->subject == 3 && !queue.hasUrgent());
  CHECK(queue.fillUrgent(1000, 4).empty() && queue.membershipDepth() == 3);
  for (int i = 0; i < 4; ++i) CHECK(queue.fill(1000).size() == 3);
  CHECK(queue.membershipDepth() == 1 && queue.isQueued(1));
  // What replaces it is urgent or not by itself, and what fits nowhere holds nobody up.
  queue.push(flagged(RecordClass::death, 4, kUrgent));
  queue.push(flagged(RecordClass::alive, 4, 0));
  CHECK(queue.fillUrgent(1000, 4).empty());
  queue.push(record(RecordClass::death, 5, 2000));
  Broadcast large = record(RecordClass::alive, 6, 2000);
  large.flags = kUrgent;
  queue.push(std::move(large));
  queue.push(flagged(RecordClass::death, 7, kUrgent));
  CHECK(queue.fillUrgent(1000, 4).empty() && queue.fillUrgent(1000, 4)[0]->subject == 7);
}

inline void testFeedbackHalvesWhatMayBeHalved() {
  BroadcastQueue queue({.retransmitMult = 8, .feedback = true});
  queue.push(flagged(RecordClass::alive, 1, 0));
  queue.push(flagged(RecordClass::alive, 2, kKeepsBudget));
  queue.push(record(RecordClass::message, 0, 24));
  CHECK(queue.noteHeard(2, RecordClass::alive, 0));
  for (int i = 0; i < 4; ++i) CHECK(queue.fill(1000).size() == 3);
  CHECK(!queue.isQueued(1) && queue.isQueued(2) && queue.messageDepth() == 1);
  queue.push(flagged(RecordClass::death, 3, 0));
  for (int i = 0; i < 3; ++i) CHECK(queue.noteHeard(3, RecordClass::death, 0));
  CHECK(queue.isQueued(3) && queue.fill(1000).size() == 3 && !queue.isQueued(3));
}

// Limit 16 and four rings: three others, so each hearing counts for four.
inline void testHearingFromAllPredecessorsEndsUrgentNews() {
  BroadcastQueue queue({.retransmitMult = 4, .feedback = true, .urgentFanout = 4});
  queue.setClusterSize(2000);
  for (MemberHandle subject : {1u, 2u}) queue.push(flagged(RecordClass::death, subject, kUrgent));
  CHECK(queue.fillUrgent(1000, 4).size() == 2);
  for (int i = 0; i < 3; ++i) CHECK(queue.isQueued(1) && queue.noteHeard(1, RecordClass::death, 0));
  CHECK(!queue.isQueued(1));
  // One of them was lost: four sends are left.
  for (int i = 0; i < 2; ++i) CHECK(queue.noteHeard(2, RecordClass::death, 0));
  for (int i = 0; i < 4; ++i) CHECK(queue.fill(1000).size() == 1);
  CHECK(!queue.isQueued(2));
  // However often it is heard before its turn, it is forwarded.
  queue.push(flagged(RecordClass::death, 3, kUrgent));
  for (int i = 0; i < 9; ++i) CHECK(queue.noteHeard(3, RecordClass::death, 0));
  CHECK(queue.fillUrgent(1000, 4).size() == 1 && !queue.isQueued(3));
}

}  // namespace tattler
