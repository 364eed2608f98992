// A stream chunk: opened as it comes, and as a frame that a member sealed. Whatever opens is read to its last byte, as
// TypeScript will read it.
#include <algorithm>
#include <cstdlib>

#include "hub.h"

namespace {

using namespace tattler;

void demand(bool condition) {
  if (!condition) std::abort();
}

struct World {
  std::vector<Record> records = std::vector<Record>(16);
  std::vector<uint8_t> slab = std::vector<uint8_t>(1 << 12);
  std::vector<uint64_t> counters = std::vector<uint64_t>(4 * wire::Counter_count);
  std::vector<double> heard = std::vector<double>(4);
  std::shared_ptr<Keyring> keyring = std::make_shared<Keyring>();
  std::shared_ptr<Hub> hub;
  // Of each pair the first seals and the second opens: nobody opens what is its own.
  std::array<std::array<std::shared_ptr<Endpoint>, 2>, 2> pairs;

  World() {
    Hub::Options options;
    options.backend = "manual";
    options.ring = records;
    options.slab = slab;
    options.counters = counters.data();
    options.heardMs = heard.data();
    options.maxEndpoints = 4;
    options.transmitBytes = 1 << 14;
    options.maxDatagramBytes = 1400;
    hub = Hub::make(options, [] {});
    const std::array<uint8_t, 32> key{1, 2, 3};
    keyring->add(key);
    pairs = {{{open("a", keyring), open("b", keyring)}, {open("c", nullptr), open("d", nullptr)}}};
  }

  std::shared_ptr<Endpoint> open(const char* name, std::shared_ptr<const Keyring> keys) {
    EndpointConfig config;
    config.self = hub->interner().intern(name);
    config.selfId = hub->interner().idOf(config.self);
    config.cluster = "fuzz";
    config.keyring = std::move(keys);
    return hub->open(std::move(config)).endpoint;
  }
};

uint64_t sumOf(const flatbuffers::Vector<uint8_t>* bytes) {
  uint64_t sum = 0;
  for (flatbuffers::uoffset_t i = 0; bytes && i < bytes->size(); ++i) sum += bytes->Get(i);
  return sum;
}

uint64_t sumOf(const flatbuffers::String* text) {
  uint64_t sum = 0;
  if (text) for (const char letter : text->string_view()) sum += static_cast<uint8_t>(letter);
  return sum;
}

uint64_t sumOf(const wire::MemberRecord& member) {
  uint64_t sum = sumOf(member.name()) + member.incarnation() + member.state() + sumOf(member.meta());
  if (const auto* v4 = member.v4()) sum += v4->ip() + v4->port();
  if (const auto* v6 = member.v6()) sum += v6->ip()->Get(15) + v6->port();
  if (const auto* versions = member.versions()) sum += versions->application();
  return sum;
}

uint64_t sumOf(const wire::Frame& frame) {
  uint64_t sum = frame.kind() + frame.last() + frame.seq() + frame.join() + frame.codec();
  sum += sumOf(frame.cluster()) + sumOf(frame.source()) + sumOf(frame.target()) + sumOf(frame.reason());
  sum += sumOf(frame.payload()) + sumOf(frame.packed());
  if (const auto* members = frame.members()) {
    for (const wire::MemberRecord* member : *members) sum += sumOf(*member);
  }
  return sum;
}

// Memory is exactly as large as what is in it, so that one byte too far is seen.
bool opens(Endpoint& endpoint, const std::vector<uint8_t>& chunk, Bytes context, Bytes expected) {
  std::vector<uint8_t> out(chunk.size());
  const auto opened = endpoint.openFrame(chunk, context, out.data());
  if (std::holds_alternative<wire::Counter>(opened)) return false;
  const std::vector<uint8_t> frame(out.begin(), out.begin() + static_cast<ptrdiff_t>(std::get<size_t>(opened)));
  demand(expected.empty() || std::ranges::equal(frame, expected));
  volatile uint64_t sum = sumOf(*flatbuffers::GetRoot<wire::Frame>(frame.data()));
  (void)sum;
  return true;
}

// What was sealed opens if it is a frame; with one bit of it or of its context turned it never does.
void exchange(Endpoint& sealer, Endpoint& opener, const std::vector<uint8_t>& frame, Bytes context) {
  std::vector<uint8_t> chunk(frame.size() + Endpoint::kChunkOverheadBytes);
  chunk.resize(sealer.sealFrame(frame, context, chunk.data()));
  demand(!chunk.empty());
  demand(opens(opener, chunk, context, frame) == isVerifiedFrame(frame));
  const uint8_t bit = static_cast<uint8_t>(1 << (frame.size() % 8));
  std::vector<uint8_t> other(context.begin(), context.end());
  other.push_back(bit);
  demand(!opens(opener, chunk, other, {}));
  uint8_t& turned = chunk[frame.back() * size_t{17} % chunk.size()];
  turned ^= bit;
  demand(!opens(opener, chunk, context, {}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World world;
  if (size == 0) return 0;
  const std::vector<uint8_t> input(data, data + size);
  const std::vector<uint8_t> context(data, data + std::min<size_t>(size, data[size / 2]));
  for (const auto& [sealer, opener] : world.pairs) {
    opens(*opener, input, context, {});
    exchange(*sealer, *opener, input, context);
  }
  return 0;
}
