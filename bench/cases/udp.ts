import { execFileSync } from "node:child_process";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CaseOptions, type Comparison, compare } from "../comparison.js";
import { freshKeyring, loopback, openBenchHub, openEndpoint } from "../hub.js";

const payloadBytes = 200;
/** Datagrams under way at once: enough to fill every batch, few enough that no buffer overflows. */
const windowSize = 2048;
const dgramWindow = 128;
/** As many packets as the I/O thread gives the kernel at once. */
const segments = 64;

/** What raw_udp.c ends with on a kernel without UDP_SEGMENT or UDP_GRO. */
const kernelCannot = 3;

const inRuns = "the same with UDP_SEGMENT and UDP_GRO";

interface Sample {
  readonly packetsPerSecond: number;
  readonly cpuUsPerPacket: number;
}

/**
 * 200 B payloads between two sockets of one process, against dgram and against the kernel's limit: plain bytes, a
 * thread at each end, one packet a message as dgram does, and runs of packets that the kernel cuts and joins, as ours
 * are here. Gossip goes to one target after another and makes no runs: there the limit is one packet a message.
 */
export async function udp(options: CaseOptions): Promise<Comparison[]> {
  const wireBytes = { value: 0 };
  const sides: Record<string, (seconds: number) => Promise<Sample>> = {
    ours: (seconds) => runOurs(seconds, wireBytes),
    dgram: (seconds) => runDgram(seconds, plain),
    "dgram + node:crypto": (seconds) => runDgram(seconds, sealed()),
    "sendmmsg/recvmmsg in C": (seconds) => runRaw(seconds, wireBytes.value, 1),
    [inRuns]: (seconds) => runRaw(seconds, wireBytes.value, segments),
  };
  const samples: Record<string, Sample[]> = {};
  if (!kernelMakesRuns()) delete sides[inRuns];
  for (const run of Object.values(sides)) await run(Math.min(0.3, options.seconds)); // warm-up
  for (let round = 0; round < options.rounds; round++) {
    for (const [side, run] of Object.entries(sides)) {
      const list = samples[side] ?? [];
      samples[side] = list;
      list.push(await run(options.seconds));
    }
  }
  return Object.keys(sides)
    .slice(1)
    .flatMap((peer) => compareWith(peer, samples.ours ?? [], samples[peer] ?? []));
}

function compareWith(peer: string, ours: readonly Sample[], theirs: readonly Sample[]): Comparison[] {
  const pick = (samples: readonly Sample[], key: keyof Sample): number[] => samples.map((sample) => sample[key]);
  const rate = { case: "udp", metric: "200 B encrypted", unit: "packets/s", better: "higher" } as const;
  const cpu = { case: "udp", metric: "CPU", unit: "us/packet", better: "lower" } as const;
  return [
    compare(rate, pick(ours, "packetsPerSecond"), peer, pick(theirs, "packetsPerSecond")),
    compare(cpu, pick(ours, "cpuUsPerPacket"), peer, pick(theirs, "cpuUsPerPacket")),
  ];
}

/** Counts what arrives between start and end of the time. */
class Meter {
  received = 0;
  readonly #beganMs = performance.now();
  readonly #cpu = process.cpuUsage();
  readonly #limitMs: number;

  constructor(seconds: number) {
    this.#limitMs = seconds * 1000;
  }

  get isOver(): boolean {
    return performance.now() - this.#beganMs >= this.#limitMs;
  }

  sample(): Sample {
    const { user, system } = process.cpuUsage(this.#cpu);
    const seconds = (performance.now() - this.#beganMs) / 1000;
    return { packetsPerSecond: this.received / seconds, cpuUsPerPacket: (user + system) / this.received };
  }
}

// --- ours: two endpoints of one hub, so one I/O thread does both ends

function runOurs(seconds: number, wireBytes: { value: number }): Promise<Sample> {
  return new Promise((resolve) => {
    const payload = new Uint8Array(randomBytes(payloadBytes));
    let sent = 0;
    const memory = openBenchHub("auto", () => {
      const count = hub.poll();
      meter.received += count;
      hub.consume(count);
      if (!meter.isOver) return pump();
      wireBytes.value = Number(memory.counters[1]) / Number(memory.counters[0]);
      const sample = meter.sample();
      hub.close();
      resolve(sample);
    });
    const { hub } = memory;
    const keyring = freshKeyring();
    const source = openEndpoint(memory, "source", keyring);
    const target = openEndpoint(memory, "target", keyring);
    const to = hub.internAddress(loopback, target.port);
    const pump = (): void => {
      while (sent - meter.received < windowSize && source.message(to, payload)) sent++;
      hub.flush();
    };
    const meter = new Meter(seconds);
    pump();
  });
}

// --- node:dgram

interface Codec {
  seal(payload: Buffer): Buffer;
  open(datagram: Buffer): Buffer;
}

const plain: Codec = { seal: (payload) => payload, open: (datagram) => datagram };

function sealed(): Codec {
  const key = randomBytes(32);
  const nonce = randomBytes(12);
  let counter = 0;
  return {
    seal: (payload) => {
      nonce.writeUInt32LE(counter++ >>> 0, 8);
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      return Buffer.concat([nonce, cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
    },
    open: (datagram) => {
      const decipher = createDecipheriv("aes-256-gcm", key, datagram.subarray(0, 12));
      decipher.setAuthTag(datagram.subarray(-16));
      return Buffer.concat([decipher.update(datagram.subarray(12, -16)), decipher.final()]);
    },
  };
}

async function openSocket(): Promise<Socket> {
  const socket = createSocket({ type: "udp4", recvBufferSize: 4 << 20 });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

async function runDgram(seconds: number, codec: Codec): Promise<Sample> {
  const [source, target] = await Promise.all([openSocket(), openSocket()]);
  const { port } = target.address() as AddressInfo;
  const payload = randomBytes(payloadBytes);
  let sent = 0;
  const meter = new Meter(seconds);
  const sample = await new Promise<Sample>((resolve) => {
    const pump = (): void => {
      while (sent - meter.received < dgramWindow) {
        sent++;
        source.send(codec.seal(payload), port, "127.0.0.1");
      }
    };
    target.on("message", (datagram) => {
      codec.open(datagram);
      meter.received++;
      if (meter.isOver) return resolve(meter.sample());
      if (sent - meter.received < dgramWindow / 2) pump();
    });
    pump();
  });
  source.close();
  target.close();
  return sample;
}

// --- the kernel's limit

const root = fileURLToPath(new URL("../../../..", import.meta.url));
let compiled: string | null = null;

/** Linux from 5.0 on does. */
function kernelMakesRuns(): boolean {
  try {
    void runRaw(0.01, payloadBytes, segments);
    return true;
  } catch (error) {
    if ((error as { status?: number }).status === kernelCannot) return false;
    throw error;
  }
}

function runRaw(seconds: number, wireBytes: number, perMessage: number): Promise<Sample> {
  compiled ??= compileRaw();
  const args = [Math.round(wireBytes), seconds, perMessage].map(String);
  const output = execFileSync(compiled, args, { encoding: "utf8" });
  const [packetsPerSecond = 0, cpuUsPerPacket = 0] = output.trim().split(" ").map(Number);
  return Promise.resolve({ packetsPerSecond, cpuUsPerPacket });
}

function compileRaw(): string {
  const binary = join(root, "build/bench/raw_udp");
  mkdirSync(dirname(binary), { recursive: true });
  execFileSync("cc", ["-O2", "-pthread", "-o", binary, join(root, "bench/raw_udp.c")]);
  return binary;
}
