// A datagram, bare or sealed by a member: open, verify, describe, relay, compose again.
// The first byte picks the way in, so that one corpus serves all.
#include <cstdio>
#include <cstdlib>

#include "hub.h"

namespace {

using namespace tattler;

struct World {
  std::vector<Record> records = std::vector<Record>(256);
  std::vector<uint8_t> slab = std::vector<uint8_t>(1 << 18);
  std::vector<uint64_t> counters = std::vector<uint64_t>(4 * wire::Counter_count);
  std::vector<double> heard = std::vector<double>(4);
  std::shared_ptr<Hub> hub;
  std::shared_ptr<Keyring> keyring = std::make_shared<Keyring>();
  std::shared_ptr<Endpoint> endpoint;
  std::shared_ptr<Endpoint> sealed;
  std::shared_ptr<Endpoint> member;
  AddressHandle peer = 0;

  World() {
    Hub::Options options;
    options.backend = "manual";
    options.ring = records;
    options.slab = slab;
    options.counters = counters.data();
    options.heardMs = heard.data();
    options.maxEndpoints = 4;
    options.transmitBytes = 1 << 18;
    options.maxDatagramBytes = 65535;
    options.poison = true;
    hub = Hub::make(options, [] {});
    Address address;
    address.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    address.port = 7946;
    peer = hub->interner().internAddress(address);
    const std::array<uint8_t, 32> key{1, 2, 3};
    keyring->add(key);
    endpoint = open("self", address, nullptr);
    sealed = open("sealed", address, keyring);
    member = open("member", address, keyring);
  }

  std::shared_ptr<Endpoint> open(const char* name, const Address& address,
                                 std::shared_ptr<const Keyring> keys) {
    EndpointConfig config;
    config.bind = address;
    config.self = hub->interner().intern(name);
    config.selfId = hub->interner().idOf(config.self);
    config.cluster = "fuzz";
    config.keyring = std::move(keys);
    config.stallToleranceMs = 1000;
    config.pingsPerSecond = 50;
    config.gossipFeedback = true;
    return hub->open(std::move(config)).endpoint;
  }
};

// Half of what comes is urgent.
void relay(World& world, Endpoint& endpoint, const Record& record, bool urgent) {
  if (record.kind != wire::RecordKind_alive) return endpoint.relay(record, urgent);
  const auto* alive = reinterpret_cast<const wire::Alive*>(world.slab.data() + record.offset);
  const MemberHandle handle = world.hub->interner().intern(alive->name()->string_view());
  endpoint.relay(record, urgent);
  world.hub->interner().release(handle);
}

void takeAll(World& world) {
  uint8_t datagram[2048];
  while (const auto sent = world.hub->takeOutgoing(datagram)) {
    if (sent->bytes > world.endpoint->config().datagramBytes) std::abort();
  }
}

// Everything the parser described must lie inside the slab and survive being passed on.
void drain(World& world) {
  ReceiveRing& ring = world.hub->ring();
  const uint32_t count = world.hub->poll();
  for (uint32_t i = 0; i < count; i++) {
    const Record& record = ring.at(ring.readIndex() + i);
    if (size_t{record.offset} + record.length > world.slab.size()) std::abort();
    if (size_t{record.prefix} + kPrefixBytes > world.slab.size()) std::abort();
    Endpoint& endpoint = record.endpoint == world.endpoint->index() ? *world.endpoint : *world.sealed;
    relay(world, endpoint, record, i % 2 == 0);
  }
  world.hub->consume(count);
  for (Endpoint* endpoint : {world.endpoint.get(), world.sealed.get()}) {
    const AddressHandle targets[] = {world.peer, world.peer};
    while (endpoint->sendUrgent(targets) > 0) takeAll(world);
    for (int i = 0; i < 2 && endpoint->sendGossip(world.peer) > 0; i++) takeAll(world);
  }
  takeAll(world);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World world;
  static double nowMs = 1;
  if (size == 0) return 0;
  nowMs++;
  // Exactly as large as the input, so that one byte too far is seen.
  const std::vector<uint8_t> exact(data + 1, data + size);
  switch (data[0] % 3) {
    case 0:
      world.hub->parse(world.endpoint->index(), exact, nowMs);
      break;
    case 1:
      world.hub->deliver(world.endpoint->index(), world.peer, exact, nowMs, true);
      break;
    default: {
      std::vector<uint8_t> datagram(exact.size() + Envelope::kOverheadBytes);
      datagram.resize(world.member->sealDatagram(exact, datagram.data()));
      if (datagram.empty()) std::abort();
      world.hub->deliver(world.sealed->index(), world.peer, datagram, nowMs, true);
    }
  }
  drain(world);
  return 0;
}
