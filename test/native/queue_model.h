// The rules of BroadcastQueue in the plainest words: one vector, scanned for every pick. The random
// test demands exactly the same picks, ends and counters from both.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <vector>

#include "broadcast_queue.h"
#include "check.h"

namespace tattler {

class QueueModel {
 public:
  struct Item {
    RecordClass kind;
    uint32_t subject;
    uint32_t incarnation;
    size_t size;
    uint32_t token;
    uint8_t flags = 0;
    uint32_t transmits = 0;
    uint64_t id = 0;  // grows with every filing
    size_t pick = 0;  // when in this fill, from 1; 0 = not picked

    bool isMessage() const { return kind == RecordClass::message; }
    bool isBefore(const Item& other) const {
      if (transmits != other.transmits) return transmits < other.transmits;
      if (size != other.size) return size > other.size;
      return isMessage() ? id < other.id : id > other.id;
    }
    // The last in order goes, but for messages the oldest of the last.
    bool isWorseThan(const Item& other) const {
      if (transmits != other.transmits) return transmits > other.transmits;
      if (size != other.size) return size < other.size;
      return id < other.id;
    }
  };

  uint32_t limit = 4;
  uint32_t messageLimit = 4;
  size_t most = 0;
  double share = 0;
  bool feedback = false;
  uint32_t fanout = 0;
  std::vector<Item> items;
  std::vector<uint32_t> urgent;
  std::vector<std::pair<uint32_t, EndReason>> ends;

  void push(Item item) {
    if (item.flags & kUrgent) {
      if (urgent.size() < most) {
        urgent.push_back(item.subject);
        if (fanout > 1) item.flags |= kOnRings;
      } else {
        item.flags &= static_cast<uint8_t>(~kUrgent);
      }
    }
    if (!item.isMessage()) remove(item.subject);
    const bool isWhole = item.isMessage() || (item.flags & (kKeepsBudget | kOnRings));
    if (feedback && !isWhole) item.transmits = limit / 2;
    prune(item.isMessage(), most - 1);
    item.id = nextId_++;
    items.push_back(item);
  }

  bool remove(uint32_t subject) {
    const size_t before = items.size();
    drop(EndReason::replaced,
         [&](const Item& item) { return !item.isMessage() && item.subject == subject; });
    return items.size() != before;
  }

  bool removeMessage(uint32_t token) {
    const size_t before = items.size();
    drop(EndReason::replaced,
         [&](const Item& item) { return item.isMessage() && item.token == token; });
    return items.size() != before;
  }

  size_t depth(bool messages) const {
    return static_cast<size_t>(std::count_if(
        items.begin(), items.end(), [&](const Item& i) { return i.isMessage() == messages; }));
  }

  void prune(bool messages, size_t keep) {
    while (depth(messages) > keep) {
      const Item* last = nullptr;
      for (const Item& item : items) {
        if (item.isMessage() == messages && (!last || item.isWorseThan(*last))) last = &item;
      }
      const uint64_t id = last->id;
      drop(EndReason::pruned, [&](const Item& item) { return item.id == id; });
    }
  }

  std::vector<uint32_t> fill(size_t budget, size_t overhead) {
    std::vector<uint32_t> tokens;
    size_t reserved = 0;
    if (depth(true) > 0) {
      const auto part = static_cast<size_t>(static_cast<double>(budget) * share);
      credit_ = std::max(credit_, std::min(credit_ + part, budget));
      reserved = std::min(credit_, budget);
    }
    size_t left = budget - reserved;
    left -= take(false, left, overhead, tokens);
    left += reserved;
    const bool isForLargest = depth(true) > 0 && ++messageFills_ % 2 == 0;
    size_t used = isForLargest ? takeLargest(left, overhead, tokens) : 0;
    used += take(true, left - used, overhead, tokens);
    left -= used;
    const bool isWaiting = std::any_of(items.begin(), items.end(), [](const Item& item) {
      return item.isMessage() && item.pick == 0;
    });
    credit_ = isWaiting && credit_ > used ? credit_ - used : 0;
    take(false, left, overhead, tokens);
    settle();
    return tokens;
  }

  std::vector<uint32_t> fillUrgent(size_t budget, uint32_t sends) {
    std::vector<uint32_t> tokens;
    while (!urgent.empty()) {
      const auto found = std::find_if(items.begin(), items.end(), [&](const Item& item) {
        return !item.isMessage() && item.subject == urgent.front() && (item.flags & kUrgent);
      });
      if (found != items.end()) {
        if (found->size > budget) {
          if (tokens.empty()) urgent.erase(urgent.begin());
          break;
        }
        budget -= found->size;
        tokens.push_back(found->token);
        found->flags &= static_cast<uint8_t>(~kUrgent);
        found->transmits += sends;
        found->id = nextId_++;
        drop(EndReason::limit, [&](const Item& item) {
          return item.token == tokens.back() && item.transmits >= limit;
        });
      }
      urgent.erase(urgent.begin());
    }
    return tokens;
  }

  bool noteHeard(uint32_t subject, RecordClass kind, uint32_t incarnation) {
    for (Item& item : items) {
      if (item.isMessage() || item.subject != subject) continue;
      if (item.kind != kind || item.incarnation != incarnation) return false;
      if (item.flags & kKeepsBudget) return true;
      const double left = std::max(0.0, static_cast<double>(limit) - fanout);
      // settle() adds one.
      if (item.flags & kOnRings) {
        item.transmits += static_cast<uint32_t>(std::max(1.0, std::ceil(left / (fanout - 1)))) - 1;
      }
      item.pick = 1;
      // settle() adds the one that it lacks.
      const int64_t lastButOne = int64_t{limit} - 2;
      if (item.flags & kUrgent) {
        item.transmits = static_cast<uint32_t>(std::min<int64_t>(item.transmits, lastButOne));
      }
      settle();
      return true;
    }
    return false;
  }

 private:
  // Tier by tier, the first in order that fits. A tier is left when nothing in it fits.
  size_t take(bool messages, size_t budget, size_t overhead, std::vector<uint32_t>& tokens) {
    size_t left = budget;
    for (;;) {
      Item* best = nullptr;
      for (Item& item : items) {
        if (item.isMessage() != messages || item.pick != 0 || item.size + overhead > left) continue;
        if (!best || item.isBefore(*best)) best = &item;
      }
      if (!best) return budget - left;
      left -= best->size + overhead;
      tokens.push_back(best->token);
      best->pick = tokens.size();
    }
  }

  size_t takeLargest(size_t budget, size_t overhead, std::vector<uint32_t>& tokens) {
    Item* best = nullptr;
    for (Item& item : items) {
      if (!item.isMessage() || item.size + overhead > budget) continue;
      if (!best || item.size > best->size || (item.size == best->size && item.isBefore(*best))) {
        best = &item;
      }
    }
    if (!best) return 0;
    tokens.push_back(best->token);
    best->pick = tokens.size();
    return best->size + overhead;
  }

  // The order within a fill is kept: membership is filed backwards, its newest comes first.
  void settle() {
    std::vector<Item*> picked;
    for (Item& item : items) {
      if (item.pick != 0) picked.push_back(&item);
    }
    std::sort(picked.begin(), picked.end(),
              [](const Item* a, const Item* b) {
                if (a->isMessage() != b->isMessage()) return b->isMessage();
                return a->isMessage() ? a->pick < b->pick : a->pick > b->pick;
              });
    for (Item* item : picked) {
      ++item->transmits;
      item->id = nextId_++;
    }
    drop(EndReason::limit, [&](const Item& item) {
      return item.pick != 0 && item.transmits >= (item.isMessage() ? messageLimit : limit);
    });
    for (Item& item : items) item.pick = 0;
  }

  template <class When>
  void drop(EndReason reason, When when) {
    for (const Item& item : items) {
      if (when(item)) ends.emplace_back(item.token, reason);
    }
    std::erase_if(items, when);
  }

  uint64_t messageFills_ = 0;
  uint64_t nextId_ = 0;
  size_t credit_ = 0;
};

class QueueModelTest {
 public:
  explicit QueueModelTest(uint64_t seed)
      : dice_(seed),
        mult_(1 + below(3)),
        queue_({.retransmitMult = mult_,
                .queueRecords = seed % 2 ? 40u : 400u,
                .messageShare = static_cast<double>(seed % 5) / 4,
                .feedback = seed % 3 == 0,
                .urgentFanout = static_cast<uint32_t>(seed % 6),
                .onFree = [this](const Broadcast&) { ++freed_; }}) {
    model_.most = seed % 2 ? 40 : 400;
    model_.share = static_cast<double>(seed % 5) / 4;
    model_.feedback = seed % 3 == 0;
    model_.fanout = static_cast<uint32_t>(seed % 6);
    model_.limit = queue_.transmitLimit();
    model_.messageLimit = queue_.messageLimit();
  }

  bool run(int steps) {
    for (int step = 0; step < steps; ++step) {
      if (!act() || queue_.membershipDepth() != model_.depth(false) ||
          queue_.messageDepth() != model_.depth(true)) {
        return false;
      }
    }
    return compareEnds() && compareCounters();
  }

 private:
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(dice_() % bound); }

  bool act() {
    const uint32_t die = below(22);
    if (die < 11) return push();
    if (die < 16) return fill();
    const uint32_t subject = 1 + below(300);
    if (die == 16) return queue_.remove(subject) == model_.remove(subject);
    if (die == 17) return hear(subject);
    if (die == 18 && below(50) == 0) return prune();
    if (die == 19 && below(10) == 0) return resize();
    if (die == 20) return withdraw();
    if (die == 21) return forward();
    return queue_.isQueued(subject) == isInModel(subject);
  }

  bool withdraw() {
    const uint32_t token = 1 + token_ - std::min(token_, below(30));
    return queue_.removeMessage(token) == model_.removeMessage(token);
  }

  bool push() {
    // Mostly few sizes, as accusations are; now and then any size up to that of a datagram.
    const uint32_t sizes[] = {24, 24, 24, 60, 64, 68, 22, 1 + below(1400)};
    Broadcast record;
    record.kind = static_cast<RecordClass>(below(4));
    record.subject = 1 + below(300);
    record.incarnation = below(2);
    record.wireBytes = sizes[below(8)];
    record.token = ++token_;
    if (record.kind != RecordClass::message) record.flags = static_cast<uint8_t>(below(4));
    model_.push({record.kind, record.subject, record.incarnation,
                 (record.wireBytes + size_t{3}) / 4 * 4, record.token, record.flags});
    return queue_.push(std::move(record));
  }

  bool fill() {
    const size_t budget = below(4) == 0 ? below(300) : 1360;
    const size_t overhead = below(3);
    std::vector<uint32_t> tokens;
    for (const Broadcast* pick : queue_.fill(budget, overhead)) tokens.push_back(pick->token);
    sent_ += tokens.size();
    return tokens == model_.fill(budget, overhead);
  }

  bool forward() {
    const size_t budget = below(3) == 0 ? below(300) : 1360;
    const uint32_t sends = 1 + below(4);
    std::vector<uint32_t> tokens;
    for (const Broadcast* pick : queue_.fillUrgent(budget, sends)) tokens.push_back(pick->token);
    sent_ += tokens.size() * sends;
    return tokens == model_.fillUrgent(budget, sends);
  }

  bool hear(uint32_t subject) {
    const auto kind = static_cast<RecordClass>(below(3));
    const uint32_t incarnation = below(2);
    return queue_.noteHeard(subject, kind, incarnation) ==
           model_.noteHeard(subject, kind, incarnation);
  }

  bool prune() {
    const uint32_t keep = below(30);
    const bool messages = below(2) == 0;
    messages ? queue_.pruneMessages(keep) : queue_.pruneMembership(keep);
    model_.prune(messages, keep);
    return true;
  }

  bool resize() {
    const uint32_t members = below(3000);
    queue_.setClusterSize(members);
    uint32_t digits = 0;
    while (std::pow(10, digits) < members + 1.0) ++digits;
    model_.limit = std::max(1u, mult_ * digits);
    model_.messageLimit = std::max(3 * mult_, model_.limit);
    return queue_.transmitLimit() == model_.limit && queue_.messageLimit() == model_.messageLimit;
  }

  bool isInModel(uint32_t subject) const {
    return std::any_of(model_.items.begin(), model_.items.end(), [&](const auto& item) {
      return !item.isMessage() && item.subject == subject;
    });
  }

  bool compareEnds() {
    std::multiset<std::pair<uint32_t, EndReason>> expected(model_.ends.begin(), model_.ends.end());
    std::multiset<std::pair<uint32_t, EndReason>> got;
    for (const Finished& end : queue_.takeFinished()) got.emplace(end.token, end.reason);
    got_ = got.size();
    return got == expected;
  }

  bool compareCounters() {
    const QueueCounters& c = queue_.counters();
    queue_.pruneMessages(1u << 30);  // lets the last fill's records go
    const size_t ended = c.retired + c.replaced + c.pruned;
    return c.queued == token_ && c.sent == sent_ && ended == model_.ends.size() &&
           freed_ == ended && got_ == ended;
  }

  std::mt19937_64 dice_;
  uint32_t mult_;
  size_t freed_ = 0;
  BroadcastQueue queue_;
  QueueModel model_;
  uint32_t token_ = 0;
  size_t sent_ = 0;
  size_t got_ = 0;
};

}  // namespace tattler
