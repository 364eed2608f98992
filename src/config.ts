import { tattlerError } from "./errors.js";

/**
 * Options of a node. Only `name` is required. Durations are milliseconds; defaults are those of the LAN profile, which
 * are memberlist's unless said otherwise; `wan` and `local` differ where the tables below say so.
 */
export interface GossipOptions {
  /** Unique name in the cluster: 1 to 128 bytes of UTF-8 without control characters. */
  readonly name: string;
  /** Preset of timings: `lan` (default), `wan` for high latency, `local` for one machine. */
  readonly profile?: Profile;
  /** Where to listen, UDP and TCP: `host:port`, IPv4 or [IPv6]. Port 0 picks one. Default 0.0.0.0:7946. */
  readonly bind?: string;
  /** Address told to others, `host[:port]`, an IP. Default: the bound one; for a wildcard a private one is chosen. */
  readonly advertise?: string;
  /** Cluster name, at most 255 bytes. Clusters of different names never mix. Default "default". */
  readonly cluster?: string;
  /** Keys of 16, 24 or 32 bytes, the first seals. None (default): traffic is not encrypted. */
  readonly keys?: readonly Uint8Array[];
  /** Metadata told to all members, text or bytes, at most metaMaxBytes. Default empty. */
  readonly meta?: Uint8Array | string;
  /** Seed of all dice, for reproducible runs. Default: random. */
  readonly seed?: number;
  /** Socket back end: `auto` (default) takes what the platform does best. */
  readonly backend?: Backend;

  /** Time between probes. Range 10 to 3,600,000; 0 disables. Default 1,000 (wan 5,000). */
  readonly probeIntervalMs?: number;
  /** Wait for a direct ack; less than probeIntervalMs (E-05). Default 500 (wan 3,000, local 200). */
  readonly probeTimeoutMs?: number;
  /** Helpers asked to ping an unresponsive member. Range 0 to 32. Default 3 (local 1). */
  readonly indirectChecks?: number;
  /** Whether an unresponsive member is also pinged over TCP. Default true. */
  readonly tcpPing?: boolean;
  /** Time between gossip rounds. Range 10 to 60,000; 0 disables. Default 200 (wan 500, local 100). */
  readonly gossipIntervalMs?: number;
  /** Members gossiped to in each round. Range 1 to 64. Default 3 (wan 4). */
  readonly gossipNodes?: number;
  /** How long the dead still get gossip, and are remembered at least. Default 30,000 (wan 60,000, local 15,000). */
  readonly gossipToTheDeadMs?: number;
  /** A record is sent retransmitMult x ceil(log10(n + 1)) times. Range 1 to 64. Default 4 (local 2). */
  readonly retransmitMult?: number;
  /** Least suspicion: suspicionMult x max(1, log10 n) x probeIntervalMs. Range 1 to 64. Default 4 (wan 6, local 3). */
  readonly suspicionMult?: number;
  /** Longest suspicion as a multiple of the least. Range 1 to 64. Default 6. */
  readonly suspicionMaxTimeoutMult?: number;
  /** Bound of the health score plus 1; time-outs grow up to this factor. Range 1 to 64. Default 8. */
  readonly awarenessMaxMultiplier?: number;
  /** Time between full state syncs, longer from 33 members on. 0: none. Default 30,000 (wan 60,000, local 15,000). */
  readonly pushPullIntervalMs?: number;
  /** Deadline of one TCP exchange. Range 100 to 600,000. Default 10,000 (wan 30,000, local 1,000). */
  readonly streamTimeoutMs?: number;
  /** After so long dead, a name may be taken by another address. 0 (default): never. */
  readonly deadReclaimMs?: number;
  /** How long pings are answered while JavaScript is busy. 0: JavaScript must answer. Default 5,000. */
  readonly stallToleranceMs?: number;
  /** A node that hears nobody judges nobody, for at most this long. Default 60,000. */
  readonly deafLimitMs?: number;
  /** Largest datagram sent, header and seal included. Range 512 to 65,507. Default 1,400. */
  readonly datagramBytes?: number;
  /** Longest metadata of any member, in bytes. Range 0 to 4,096, and must fit a datagram. Default 512. */
  readonly metaMaxBytes?: number;
  /** Most records waiting, membership and messages each; then the most sent are dropped. Default 8,192. */
  readonly queueRecords?: number;
  /** Share of each datagram kept for user messages while some wait. Range 0 to 1. Default 0.25. */
  readonly messageShare?: number;
  /** Most members accepted in one state sync. Default 65,536. */
  readonly maxSyncRecords?: number;
  /** Inbound TCP exchanges served at once. Range 1 to 65,535. Default 128. */
  readonly maxStreams?: number;
  /** Longest reliable message, in bytes. Range 1 to 64 MiB. Default 4 MiB. */
  readonly maxMessageBytes?: number;
  /** How long leave() waits for the leave to spread. Default 5,000. */
  readonly leaveTimeoutMs?: number;
}

export type Profile = "lan" | "wan" | "local";
export type Backend = "auto" | "linux" | "posix";

type Given = "advertise" | "seed";
/** Options with every default filled in, checked and frozen. */
export type Config = Readonly<Required<Omit<GossipOptions, Given | "meta">>> & {
  readonly meta: Uint8Array;
  readonly advertise: string | null;
  readonly seed: number | null;
};

interface NumberRule {
  readonly lan: number;
  readonly wan?: number;
  readonly local?: number;
  readonly min: number;
  readonly max: number;
  /** 0 is allowed although it is below min: it turns the thing off. */
  readonly zero?: true;
  readonly fraction?: true;
}

const hourMs = 3_600_000;

const numbers = {
  probeIntervalMs: { lan: 1000, wan: 5000, min: 10, max: hourMs, zero: true },
  probeTimeoutMs: { lan: 500, wan: 3000, local: 200, min: 1, max: hourMs },
  indirectChecks: { lan: 3, local: 1, min: 0, max: 32 },
  gossipIntervalMs: { lan: 200, wan: 500, local: 100, min: 10, max: 60_000, zero: true },
  gossipNodes: { lan: 3, wan: 4, min: 1, max: 64 },
  gossipToTheDeadMs: { lan: 30_000, wan: 60_000, local: 15_000, min: 0, max: 24 * hourMs },
  retransmitMult: { lan: 4, local: 2, min: 1, max: 64 },
  suspicionMult: { lan: 4, wan: 6, local: 3, min: 1, max: 64 },
  suspicionMaxTimeoutMult: { lan: 6, min: 1, max: 64 },
  awarenessMaxMultiplier: { lan: 8, min: 1, max: 64 },
  pushPullIntervalMs: { lan: 30_000, wan: 60_000, local: 15_000, min: 100, max: 24 * hourMs, zero: true },
  streamTimeoutMs: { lan: 10_000, wan: 30_000, local: 1000, min: 100, max: 600_000 },
  deadReclaimMs: { lan: 0, min: 0, max: 24 * hourMs },
  stallToleranceMs: { lan: 5000, min: 0, max: hourMs },
  deafLimitMs: { lan: 60_000, min: 0, max: hourMs },
  datagramBytes: { lan: 1400, min: 512, max: 65_507 },
  metaMaxBytes: { lan: 512, min: 0, max: 4096 },
  queueRecords: { lan: 8192, min: 16, max: 1_000_000 },
  messageShare: { lan: 0.25, min: 0, max: 1, fraction: true },
  maxSyncRecords: { lan: 65_536, min: 1, max: 1_048_576 },
  maxStreams: { lan: 128, min: 1, max: 65_535 },
  maxMessageBytes: { lan: 4 * 2 ** 20, min: 1, max: 64 * 2 ** 20 },
  leaveTimeoutMs: { lan: 5000, min: 0, max: hourMs },
} as const satisfies Record<string, NumberRule>;

type NumberOption = keyof typeof numbers;

const profiles: readonly Profile[] = ["lan", "wan", "local"];
const backends: readonly Backend[] = ["auto", "linux", "posix"];
const others = [
  "name",
  "profile",
  "bind",
  "advertise",
  "cluster",
  "keys",
  "meta",
  "seed",
  "backend",
  "tcpPing",
] as const;

/** The names of all options. */
export const optionNames: readonly string[] = [...others, ...Object.keys(numbers)];

/** Bytes of header, seal, envelope and record around metadata in a datagram, with the longest name. */
const metaOverheadBytes = 24 + 16 + 104 + 200;

/** Fills in defaults and checks everything. Errors: TATTLER_OPTION_INVALID, TATTLER_OPTION_UNKNOWN. */
export function resolveConfig(options: GossipOptions): Config {
  for (const option of Object.keys(options)) {
    if (!optionNames.includes(option)) throw tattlerError("TATTLER_OPTION_UNKNOWN", [option, optionNames.join(", ")]);
  }
  const profile = oneOf("profile", options.profile ?? "lan", profiles);
  const resolved: Record<string, unknown> = {};
  for (const option of Object.keys(numbers) as NumberOption[]) {
    resolved[option] = checkNumber(option, options[option] ?? defaultOf(option, profile));
  }
  const timings = resolved as Record<NumberOption, number>;
  checkRelations(timings);
  return Object.freeze({
    ...timings,
    profile,
    name: checkName(options.name),
    bind: checkText("bind", options.bind ?? "0.0.0.0:7946", 1, 300),
    advertise: options.advertise === undefined ? null : checkText("advertise", options.advertise, 1, 300),
    cluster: checkText("cluster", options.cluster ?? "default", 1, 255),
    keys: checkKeys(options.keys ?? []),
    meta: checkMeta(options.meta ?? "", timings.metaMaxBytes),
    seed: options.seed === undefined ? null : checkSeed(options.seed),
    backend: oneOf("backend", options.backend ?? "auto", backends),
    tcpPing: checkBoolean("tcpPing", options.tcpPing ?? true),
  });
}

/** One option from text, as a command line gives it. Errors: TATTLER_OPTION_INVALID, TATTLER_OPTION_UNKNOWN. */
export function parseOption(name: string, text: string): Partial<GossipOptions> {
  if (Object.hasOwn(numbers, name)) {
    return { [name]: checkNumber(name as NumberOption, numberOf(text)) };
  }
  switch (name) {
    case "tcpPing":
      if (text !== "true" && text !== "false")
        throw invalid(name, `${quoted(text)} is not a boolean`, "give true or false");
      return { tcpPing: text === "true" };
    case "profile":
      return { profile: oneOf(name, text, profiles) };
    case "backend":
      return { backend: oneOf(name, text, backends) };
    case "seed":
      return { seed: checkSeed(numberOf(text)) };
    case "name":
    case "bind":
    case "advertise":
    case "cluster":
    case "meta":
      return { [name]: text };
    default: {
      const known = optionNames.filter((option) => option !== "keys");
      throw tattlerError("TATTLER_OPTION_UNKNOWN", [name, known.join(", ")]);
    }
  }
}

/** The number that the text spells, else the text itself, for the error to show. */
function numberOf(text: string): number | string {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  return Number.isNaN(value) ? text : value;
}

function defaultOf(option: NumberOption, profile: Profile): number {
  const rule: NumberRule = numbers[option];
  return rule[profile] ?? rule.lan;
}

function checkNumber(option: NumberOption, value: unknown): number {
  const rule: NumberRule = numbers[option];
  const range = `from ${rule.min} to ${rule.max}${rule.zero ? ", or 0 to turn it off" : ""}`;
  const what = rule.fraction ? "a number" : "a whole number";
  const isKind = typeof value === "number" && (rule.fraction ? Number.isFinite(value) : Number.isInteger(value));
  if (!isKind) throw invalid(option, `${quoted(value)} is not ${what}`, `give ${what} ${range}`);
  const isInside = (value >= rule.min && value <= rule.max) || (rule.zero === true && value === 0);
  if (!isInside) throw invalid(option, `${value} is out of range`, `give ${what} ${range}`);
  return value;
}

function checkRelations(timings: Record<NumberOption, number>): void {
  const { probeIntervalMs, probeTimeoutMs, metaMaxBytes, datagramBytes } = timings;
  if (probeIntervalMs > 0 && probeTimeoutMs >= probeIntervalMs) {
    const problem = `${probeTimeoutMs} leaves an interval of ${probeIntervalMs} no time for indirect probes`;
    throw invalid("probeTimeoutMs", problem, "give less than probeIntervalMs");
  }
  if (metaMaxBytes > datagramBytes - metaOverheadBytes) {
    const problem = `${metaMaxBytes} does not fit a datagram of ${datagramBytes} bytes`;
    throw invalid("metaMaxBytes", problem, `give at most ${datagramBytes - metaOverheadBytes}, or raise datagramBytes`);
  }
}

function checkName(name: unknown): string {
  if (typeof name !== "string") throw invalid("name", `${quoted(name)} is not a text`, "give every node a unique name");
  if (/\p{Cc}/u.test(name)) throw invalid("name", `${quoted(name)} has control characters`, "leave them out");
  return checkText("name", name, 1, 128);
}

function checkText(option: string, value: unknown, minBytes: number, maxBytes: number): string {
  if (typeof value !== "string") throw invalid(option, `${quoted(value)} is not a text`, "give a text");
  // UTF-8 has no form for it: two different texts would be one on the wire.
  if (/\p{Cs}/u.test(value)) throw invalid(option, `${quoted(value)} has half a character`, "give valid Unicode");
  const bytes = new TextEncoder().encode(value).length;
  if (bytes >= minBytes && bytes <= maxBytes) return value;
  throw invalid(
    option,
    `${quoted(value.slice(0, 40))} has ${bytes} bytes`,
    `give ${minBytes} to ${maxBytes} bytes of UTF-8`,
  );
}

/** Never shows a key, not even a wrong one. */
function checkKeys(keys: unknown): readonly Uint8Array[] {
  if (!Array.isArray(keys)) throw invalid("keys", "it is not an array", "give an array of Uint8Array keys");
  keys.forEach((key, index) => {
    if (key instanceof Uint8Array && [16, 24, 32].includes(key.length)) return;
    const problem = key instanceof Uint8Array ? `has ${key.length} bytes` : "is not a Uint8Array";
    throw invalid(
      "keys",
      `key ${index} ${problem}`,
      "give 16, 24 or 32 bytes, as `tattler keygen` prints them in base64",
    );
  });
  return Object.freeze(keys.map((key) => new Uint8Array(key)));
}

/** Metadata as bytes. Errors: TATTLER_OPTION_INVALID when it is longer than metaMaxBytes (E-26). */
export function checkMeta(meta: unknown, metaMaxBytes: number): Uint8Array {
  const bytes = typeof meta === "string" ? new TextEncoder().encode(meta) : meta;
  if (!(bytes instanceof Uint8Array))
    throw invalid("meta", "it is neither a text nor a Uint8Array", "give one of them");
  // Not slice(): that of a Buffer is no copy.
  if (bytes.length <= metaMaxBytes) return new Uint8Array(bytes);
  throw invalid(
    "meta",
    `it has ${bytes.length} bytes`,
    `give at most ${metaMaxBytes} bytes, or raise metaMaxBytes everywhere`,
  );
}

function checkSeed(seed: unknown): number {
  if (typeof seed === "number" && Number.isSafeInteger(seed) && seed >= 0) return seed;
  throw invalid("seed", `${quoted(seed)} is not a seed`, "give a whole number from 0 to 2^53 - 1");
}

function checkBoolean(option: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw invalid(option, `${quoted(value)} is not a boolean`, "give true or false");
}

function oneOf<T extends string>(option: string, value: unknown, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T;
  throw invalid(option, `there is no ${quoted(value)}`, `give one of ${allowed.join(", ")}`);
}

function invalid(option: string, problem: string, remedy: string): Error {
  return tattlerError("TATTLER_OPTION_INVALID", [option, problem, remedy]);
}

function quoted(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
