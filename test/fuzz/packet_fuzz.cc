// Whatever a datagram or a stream chunk holds once opened: parse, describe, relay, compose again.
// The first byte picks the target, so that one corpus serves both.
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
  std::shared_ptr<Endpoint> endpoint;
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
    EndpointConfig config;
    config.bind = address;
    config.self = hub->interner().intern("self");
    config.selfId = hub->interner().idOf(config.self);
    config.cluster = "fuzz";
    config.stallToleranceMs = 1000;
    endpoint = hub->open(std::move(config)).endpoint;
  }
};

// Everything the parser described must lie inside the slab and survive being passed on.
void drain(World& world) {
  ReceiveRing& ring = world.hub->ring();
  const uint32_t count = ring.readable();
  for (uint32_t i = 0; i < count; i++) {
    const Record& record = ring.at(ring.readIndex() + i);
    if (size_t{record.offset} + record.length > world.slab.size()) std::abort();
    if (record.kind == wire::RecordKind_alive) {
      const auto* alive =
          reinterpret_cast<const wire::Alive*>(world.slab.data() + record.offset);
      const MemberHandle handle = world.hub->interner().intern(alive->name()->string_view());
      world.endpoint->relay(record, false);
      world.hub->interner().release(handle);
    } else {
      world.endpoint->relay(record, true);
    }
  }
  world.hub->consume(count);
  uint8_t datagram[2048];
  for (int i = 0; i < 4 && world.endpoint->sendGossip(world.peer) > 0; i++) {
    const auto sent = world.hub->takeOutgoing(datagram);
    if (!sent || sent->bytes > world.endpoint->config().datagramBytes) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World world;
  if (size == 0) return 0;
  const Bytes input{data + 1, size - 1};
  // Exactly as large as the input, so that one byte too far is seen.
  const std::vector<uint8_t> exact(input.begin(), input.end());
  switch (data[0] % 3) {
    case 0:
      world.hub->parse(world.endpoint->index(), exact, 1);
      break;
    case 1:
      world.hub->deliver(world.endpoint->index(), world.peer, exact, 1, true);
      break;
    default: {
      std::vector<uint8_t> out(exact.size() + 1);
      (void)world.endpoint->openFrame(exact, {}, out.data());
      flatbuffers::Verifier verifier(exact.data(), exact.size());
      (void)verifier.VerifyBuffer<wire::Frame>(nullptr);
    }
  }
  drain(world);
  return 0;
}
