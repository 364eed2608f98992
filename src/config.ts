import { isIP } from "node:net";
import { tattlerError } from "./errors.js";
import type { Backend, GossipOptions, Logger, Profile, VersionRange } from "./options.js";
import { ownProtocol } from "./wire/versions.js";

export type { Backend, GossipOptions, Logger, Profile, VersionRange } from "./options.js";

type Given = "advertise" | "seed" | "keyringFile" | "allow" | "logger";
/** Never kept: whoever needs it takes it from what the user gave. */
type Secret = "passphrase";
/** Options with every default filled in, checked and frozen. */
export type Config = Readonly<Required<Omit<GossipOptions, Given | Secret | "meta">>> & {
  readonly meta: Uint8Array;
  readonly advertise: string | null;
  readonly allow: readonly string[] | null;
  readonly seed: number | null;
  readonly keyringFile: string | null;
  readonly logger: Logger | null;
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
  protocolVersion: { lan: ownProtocol.current, min: ownProtocol.min, max: ownProtocol.max },
  probeIntervalMs: { lan: 1000, wan: 5000, min: 10, max: hourMs, zero: true },
  probeTimeoutMs: { lan: 500, wan: 3000, local: 200, min: 1, max: hourMs },
  probeTimeoutMinMs: { lan: 100, wan: 0, local: 50, min: 1, max: hourMs, zero: true },
  indirectTimeoutMs: { lan: 300, wan: 0, min: 10, max: hourMs, zero: true },
  indirectChecks: { lan: 3, local: 1, min: 0, max: 32 },
  gossipIntervalMs: { lan: 200, wan: 500, local: 100, min: 10, max: 60_000, zero: true },
  gossipNodes: { lan: 3, wan: 4, min: 1, max: 64 },
  urgentFanout: { lan: 4, min: 1, max: 4, zero: true },
  gossipToTheDeadMs: { lan: 30_000, wan: 60_000, local: 15_000, min: 0, max: 24 * hourMs },
  retransmitMult: { lan: 4, local: 2, min: 1, max: 64 },
  suspicionMult: { lan: 4, wan: 6, local: 3, min: 1, max: 64 },
  suspicionMinMs: { lan: 2000, wan: 0, local: 1000, min: 10, max: hourMs, zero: true },
  suspicionMaxTimeoutMult: { lan: 6, min: 1, max: 64 },
  refusedConfirmations: { lan: 2, wan: 0, min: 0, max: 8 },
  awarenessMaxMultiplier: { lan: 8, min: 1, max: 64 },
  pushPullIntervalMs: { lan: 30_000, wan: 60_000, local: 15_000, min: 100, max: 24 * hourMs, zero: true },
  reconnectTimeoutMs: { lan: 24 * hourMs, min: 1000, max: 30 * 24 * hourMs, zero: true },
  digestSyncIntervalMs: { lan: 1000, wan: 5000, min: 10, max: hourMs, zero: true },
  streamTimeoutMs: { lan: 10_000, wan: 30_000, local: 1000, min: 100, max: 600_000 },
  deadReclaimMs: { lan: 0, min: 0, max: 24 * hourMs },
  stallToleranceMs: { lan: 5000, min: 0, max: hourMs },
  pingsPerSecond: { lan: 100, min: 1, max: 1_000_000, zero: true },
  deafLimitMs: { lan: 60_000, min: 0, max: hourMs },
  quarantineMs: { lan: 30_000, wan: 60_000, local: 15_000, min: 1000, max: hourMs, zero: true },
  datagramBytes: { lan: 1400, min: 512, max: 65_507 },
  metaMaxBytes: { lan: 512, min: 0, max: 4096 },
  queueRecords: { lan: 8192, min: 16, max: 1_000_000 },
  messageShare: { lan: 0.25, min: 0, max: 1, fraction: true },
  maxSyncRecords: { lan: 65_536, min: 1, max: 1_048_576 },
  maxStreams: { lan: 128, min: 1, max: 65_535 },
  maxStreamsPerPeer: { lan: 64, min: 1, max: 65_535 },
  maxSendsPerPeer: { lan: 8, min: 1, max: 65_535 },
  maxQueuedSends: { lan: 4096, min: 0, max: 1_000_000 },
  maxExchangeBytes: { lan: 64 * 2 ** 20, min: 2 ** 17, max: 2 ** 30 },
  maxMessageBytes: { lan: 4 * 2 ** 20, min: 1, max: 64 * 2 ** 20 },
  leaveTimeoutMs: { lan: 5000, min: 0, max: hourMs },
  historyMembers: { lan: 1024, min: 1, max: 65_536, zero: true },
} as const satisfies Record<string, NumberRule>;

type NumberOption = keyof typeof numbers;

/**
 * Options that turn off what tattler does beyond memberlist's rules: for comparisons, and for who must have verdicts as
 * slow as they were.
 */
export const memberlistRules = {
  ringProbe: false,
  urgentFanout: 0,
  gossipFeedback: false,
  digestSyncIntervalMs: 0,
  reconnectTimeoutMs: 0,
  probeTimeoutMinMs: 0,
  indirectTimeoutMs: 0,
  suspicionMinMs: 0,
  refusedConfirmations: 0,
  quarantineMs: 0,
} as const satisfies Partial<GossipOptions>;

const profiles: readonly Profile[] = ["lan", "wan", "local"];
const backends: readonly Backend[] = ["auto", "linux", "posix"];
const others = [
  "name",
  "profile",
  "bind",
  "advertise",
  "allow",
  "cluster",
  "keys",
  "keyringFile",
  "passphrase",
  "meta",
  "applicationVersion",
  "seed",
  "backend",
  "validateNames",
  "tcpPing",
  "ringProbe",
  "gossipFeedback",
  "verifyIncoming",
  "encryptOutgoing",
  "compression",
  "logger",
] as const;

/** The names of all options. */
export const optionNames: readonly string[] = [...others, ...Object.keys(numbers)];

const maxNetworks = 256;

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
  return inOneShape({
    ...timings,
    profile,
    name: checkName(options.name, options.validateNames === true),
    validateNames: checkBoolean("validateNames", options.validateNames ?? false),
    bind: checkText("bind", options.bind ?? "0.0.0.0:7946", 1, 300),
    advertise: options.advertise === undefined ? null : checkText("advertise", options.advertise, 1, 300),
    allow: options.allow === undefined ? null : checkAllow(options.allow),
    cluster: checkText("cluster", options.cluster ?? "default", 1, 255),
    keys: checkKeys(options.keys ?? []),
    keyringFile: checkKeyringFile(options),
    meta: checkMeta(options.meta ?? "", timings.metaMaxBytes),
    applicationVersion: checkVersions(options.applicationVersion ?? { min: 0, max: 0, current: 0 }),
    seed: options.seed === undefined ? null : checkSeed(options.seed),
    backend: oneOf("backend", options.backend ?? "auto", backends),
    tcpPing: checkBoolean("tcpPing", options.tcpPing ?? true),
    gossipFeedback: checkBoolean("gossipFeedback", options.gossipFeedback ?? true),
    ringProbe: checkBoolean("ringProbe", options.ringProbe ?? true),
    verifyIncoming: checkBoolean("verifyIncoming", options.verifyIncoming ?? true),
    encryptOutgoing: checkBoolean("encryptOutgoing", options.encryptOutgoing ?? true),
    compression: checkBoolean("compression", options.compression ?? true),
    logger: options.logger === undefined ? null : checkLogger(options.logger),
  });
}

/**
 * A frozen copy. V8 gives each object that so many properties were put into a shape of its own, and what thousands of
 * nodes read of theirs then misses every cache; objects that come out of JSON.parse() share theirs.
 */
function inOneShape<T extends object>(values: T): Readonly<T> {
  const blanks = Object.keys(values).map((name) => `${JSON.stringify(name)}:null`);
  return Object.freeze(Object.assign(JSON.parse(`{${blanks.join()}}`), values));
}

/** One option from text, as a command line gives it. Errors: TATTLER_OPTION_INVALID, TATTLER_OPTION_UNKNOWN. */
export function parseOption(name: string, text: string): Partial<GossipOptions> {
  if (Object.hasOwn(numbers, name)) {
    return { [name]: checkNumber(name as NumberOption, numberOf(text)) };
  }
  switch (name) {
    case "validateNames":
    case "tcpPing":
    case "ringProbe":
    case "gossipFeedback":
    case "verifyIncoming":
    case "encryptOutgoing":
    case "compression":
      if (text !== "true" && text !== "false")
        throw invalid(name, `${quoted(text)} is not a boolean`, "give true or false");
      return { [name]: text === "true" };
    case "profile":
      return { profile: oneOf(name, text, profiles) };
    case "backend":
      return { backend: oneOf(name, text, backends) };
    case "applicationVersion":
      return { applicationVersion: parseVersions(text) };
    case "allow":
      return { allow: checkAllow(text.split(",").map((network) => network.trim())) };
    case "seed":
      return { seed: checkSeed(numberOf(text)) };
    case "name":
    case "bind":
    case "advertise":
    case "cluster":
    case "meta":
      return { [name]: text };
    default: {
      const known = optionNames.filter((option) => !["keys", "keyringFile", "passphrase", "logger"].includes(option));
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
  const { probeIntervalMs, probeTimeoutMs, metaMaxBytes, datagramBytes, maxMessageBytes, maxExchangeBytes } = timings;
  if (probeIntervalMs > 0 && probeTimeoutMs >= probeIntervalMs) {
    const problem = `${probeTimeoutMs} leaves an interval of ${probeIntervalMs} no time for indirect probes`;
    throw invalid("probeTimeoutMs", problem, "give less than probeIntervalMs");
  }
  if (metaMaxBytes > datagramBytes - metaOverheadBytes) {
    const problem = `${metaMaxBytes} does not fit a datagram of ${datagramBytes} bytes`;
    throw invalid("metaMaxBytes", problem, `give at most ${datagramBytes - metaOverheadBytes}, or raise datagramBytes`);
  }
  // Heads and seals of its chunks, of 48 KiB each, come on top.
  const exchangeBytes = Math.ceil((maxMessageBytes * 33) / 32) + 65_536;
  if (exchangeBytes > maxExchangeBytes) {
    const problem = `${maxMessageBytes} do not fit an exchange of ${maxExchangeBytes} bytes`;
    throw invalid("maxMessageBytes", problem, `give less, or raise maxExchangeBytes to ${exchangeBytes}`);
  }
}

// Made once: a regular expression in a function is a new object at every call, and each admission asks.
const strictName = /^[A-Za-z0-9.-]+$/;
const controlCharacter = /\p{Cc}/u;

/** Whether a member may have this name, as far as its characters go; the strict rule is Serf's (S-059). */
export function isFitName(name: string, strict: boolean): boolean {
  return strict ? strictName.test(name) : !controlCharacter.test(name);
}

function checkName(name: unknown, strict: boolean): string {
  if (typeof name !== "string") throw invalid("name", `${quoted(name)} is not a text`, "give every node a unique name");
  if (!isFitName(name, false)) throw invalid("name", `${quoted(name)} has control characters`, "leave them out");
  if (!isFitName(name, strict) && name !== "")
    throw invalid("name", `${quoted(name)} is not fit for validateNames`, "use A to Z, a to z, 0 to 9, - and . only");
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

/** Never shows the passphrase. */
function checkKeyringFile({ keyringFile, passphrase }: GossipOptions): string | null {
  if (passphrase !== undefined) {
    const isSecret = typeof passphrase === "string" || passphrase instanceof Uint8Array;
    if (!isSecret) throw invalid("passphrase", "it is neither a text nor a Uint8Array", "give one of them");
    if (passphrase.length < 8) throw invalid("passphrase", "it is too short", "give at least 8 bytes");
    if (keyringFile === undefined)
      throw invalid("passphrase", "there is no keyringFile to open", "give both or neither");
  }
  if (keyringFile === undefined) return null;
  if (passphrase === undefined) throw invalid("keyringFile", "there is no passphrase", "give both or neither");
  return checkText("keyringFile", keyringFile, 1, 4096);
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

function checkVersions(given: unknown): VersionRange {
  const { min, max, current } = (given ?? {}) as Partial<VersionRange>;
  const isByte = (value: unknown): boolean =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 255;
  if ([min, max, current].every(isByte) && min! <= current! && current! <= max!) {
    return Object.freeze({ min: min!, max: max!, current: current! });
  }
  const problem = `min ${quoted(min)}, current ${quoted(current)}, max ${quoted(max)} make no range`;
  throw invalid("applicationVersion", problem, "give whole numbers from 0 to 255, min <= current <= max");
}

/** As a command line has it: lowest, highest and spoken. */
function parseVersions(text: string): VersionRange {
  const numbers = text.split(",").map(numberOf);
  const [min, max, current] = numbers as number[];
  if (numbers.length === 3) return checkVersions({ min, max, current });
  throw invalid("applicationVersion", `${quoted(text)} is not three numbers`, "write min,max,current such as 1,3,2");
}

/** An empty list would let in nobody, this node included; in memberlist it lets in everybody (E-22). */
function checkAllow(networks: unknown): readonly string[] {
  const remedy = 'give an array such as ["10.0.0.0/8", "fd00::/8"], or leave it out to allow all';
  if (!Array.isArray(networks)) throw invalid("allow", `${quoted(networks)} is not an array`, remedy);
  if (networks.length === 0 || networks.length > maxNetworks)
    throw invalid("allow", `${networks.length} networks are not from 1 to ${maxNetworks}`, remedy);
  for (const network of networks) {
    if (!isNetwork(network)) throw invalid("allow", `${quoted(network)} is neither an IP nor a network`, remedy);
  }
  return Object.freeze([...networks]);
}

function isNetwork(text: unknown): boolean {
  const [, address, length] = typeof text === "string" ? (/^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []) : [];
  const family = isIP(address ?? "");
  return family !== 0 && Number(length ?? 0) <= (family === 4 ? 32 : 128);
}

function checkLogger(logger: unknown): Logger {
  const levels = ["trace", "debug", "info", "warn", "error"] as const;
  const missing = levels.find((level) => typeof (logger as Partial<Logger> | null)?.[level] !== "function");
  if (missing === undefined) return logger as Logger;
  throw invalid("logger", `it has no method ${missing}`, `give one with ${levels.join(", ")}, such as pino()`);
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
