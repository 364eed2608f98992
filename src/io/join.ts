import { randomBytes } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import type { Config } from "../config.js";
import { TattlerError, tattlerError } from "../errors.js";
import { Random } from "../random.js";
import type { MemberRecord } from "../wire/records.js";
import { formatAddress, formatIp } from "./address.js";
import { type Log, logFailure } from "./log.js";
import type { OpenedNode } from "./open.js";
import { isReachedAt, type NameServer, type ResolvedAddress, type ResolveOptions, resolve } from "./resolve.js";
import { type JoinTarget, parseTarget, resolveService } from "./service.js";
import { Slots } from "./slots.js";
import type { SyncReply } from "./streams.js";

/** What became of one address. */
export interface JoinAttempt {
  /** `ip:port`; what was given, when no address was found for it. */
  readonly address: string;
  /** `joined`, `skipped` because it is our own, or `failed`. */
  readonly outcome: "joined" | "skipped" | "failed";
  /** The name of the member there; null when it did not answer. */
  readonly peer: string | null;
  readonly error: Error | null;
}

export interface JoinResult {
  /** Addresses that answered. */
  readonly joined: number;
  /** In the order in which they ended, each address once. */
  readonly attempts: readonly JoinAttempt[];
}

/** An address, and who must answer there; null: whoever does. */
interface Target extends ResolvedAddress {
  readonly name: string | null;
}

export interface JoinRequest {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly parallel?: number;
  readonly resolver?: NameServer;
}

/** Looked up or contacted at the same time unless told otherwise (E-56: memberlist asks one after the other). */
const parallelByDefault = 8;
/** A member that serves as many streams as it may is asked again after this long, doubling each time. */
const busyRetryMs = 50;
const busyAttempts = 6;

/** Joins through any number of addresses. Errors: TATTLER_JOIN_FAILED, TATTLER_ADDRESS_INVALID, TATTLER_ABORTED. */
export async function joinAll(
  node: OpenedNode,
  config: Config,
  addresses: readonly string[],
  request: JoinRequest,
): Promise<JoinResult> {
  const targets = addresses.map((text) => parseTarget(text, { defaultPort: node.port }));
  const { attempts } = await new Join(node, config, request).through(targets);
  const joined = attempts.filter((attempt) => attempt.outcome === "joined").length;
  const failures = attempts.filter((attempt) => attempt.outcome === "failed");
  logJoin(node.host.log, attempts, joined);
  if (joined > 0 || failures.length === 0) return { joined, attempts };
  if (request.signal?.aborted) throw tattlerError("TATTLER_ABORTED", ["the join"], request.signal.reason);
  const reasons = failures.map(({ address, error }) => `${address}: ${error?.message ?? "unknown"}`);
  throw tattlerError("TATTLER_JOIN_FAILED", [reasons.join(" | ")], failures[0]?.error);
}

function logJoin(log: Log, attempts: readonly JoinAttempt[], joined: number): void {
  for (const { address, outcome, error } of attempts) {
    if (outcome === "failed") logFailure(log, "join_failed", address, error);
  }
  const peers = attempts.filter(({ outcome }) => outcome === "joined").map(({ peer }) => peer);
  const tried = attempts.length;
  log.info("join", { joined, tried, peers }, `joined through ${joined} of ${tried} addresses`);
}

/** One call of join(): services become hosts, hosts addresses, and each address is contacted once. */
class Join {
  readonly attempts: JoinAttempt[] = [];
  readonly #node: OpenedNode;
  readonly #config: Config;
  readonly #request: JoinRequest;
  readonly #resolving: ResolveOptions;
  readonly #slots: Slots;
  readonly #random: Random;
  readonly #seen = new Set<string>();

  constructor(node: OpenedNode, config: Config, request: JoinRequest) {
    this.#node = node;
    this.#config = config;
    this.#request = request;
    const { signal, resolver, timeoutMs = config.streamTimeoutMs } = request;
    this.#resolving = { signal, resolver, timeoutMs };
    this.#slots = new Slots(request.parallel ?? parallelByDefault);
    this.#random = new Random(config.seed ?? randomBytes(6).readUIntLE(0, 6));
  }

  async through(targets: readonly JoinTarget[]): Promise<this> {
    await Promise.all(targets.map((target) => (target.isService ? this.#service(target) : this.#host(target))));
    return this;
  }

  async #service({ text, host }: JoinTarget): Promise<void> {
    const hosts = await this.#lookUp(text, () => resolveService(host, this.#resolving, this.#random));
    await this.through(hosts);
  }

  async #host({ text, host, port, name }: JoinTarget): Promise<void> {
    const found = await this.#lookUp(text, () => resolve(host, port, this.#resolving));
    await Promise.all(found.map((address) => this.#address({ ...address, name })));
  }

  /** What `ask` finds; what it fails with becomes the fate of the text. */
  async #lookUp<T>(text: string, ask: () => Promise<T[]>): Promise<T[]> {
    try {
      return await this.#slots.run(ask);
    } catch (error) {
      this.attempts.push({ address: text, outcome: "failed", peer: null, error: error as Error });
      return [];
    }
  }

  async #address(target: Target): Promise<void> {
    const id = `${target.name ?? ""}/${formatAddress(target.ip, target.port)}`;
    if (this.#seen.has(id)) return;
    this.#seen.add(id);
    const attempt = await this.#slots.run(() => joinAddress(this.#node, this.#config, target, this.#request));
    this.attempts.push(attempt);
  }
}

async function joinAddress(
  node: OpenedNode,
  config: Config,
  target: Target,
  request: JoinRequest,
): Promise<JoinAttempt> {
  const address = formatAddress(target.ip, target.port);
  try {
    if (isSelf(node, target)) {
      if ((target.name ?? config.name) === config.name)
        return { address, outcome: "skipped", peer: config.name, error: null };
      throw tattlerError("TATTLER_NAME_MISMATCH", [address, `it is ${config.name} itself, not ${target.name}`]);
    }
    if (node.allow?.allows(target.ip) === false) throw tattlerError("TATTLER_ADDRESS_DISALLOWED", [address]);
    const reply = await askState(node, config, target, request);
    return { address, outcome: "joined", peer: reply.peer, error: null };
  } catch (error) {
    return { address, outcome: "failed", peer: null, error: error as Error };
  }
}

/** Whether the address leads to ourselves: the advertised one, or another such as 127.0.0.1 when we listen on all. */
function isSelf({ host, self, port, boundIp }: OpenedNode, target: ResolvedAddress): boolean {
  const advertised = host.application.addressText(host.swim.roster.addressOf(self));
  if (formatAddress(target.ip, target.port) === advertised) return true;
  return target.port === port && isReachedAt(target.ip, boundIp);
}

/** Merges once both ends have agreed: the other one has by then (E-75). */
async function askState(node: OpenedNode, config: Config, target: Target, request: JoinRequest): Promise<SyncReply> {
  const { host, streams, driver } = node;
  let accepted: readonly MemberRecord[] = [];
  const vet = ({ peer, records }: SyncReply): string | null => {
    const verdict = host.application.vet(peer, records, true);
    if (typeof verdict === "string") return verdict;
    accepted = verdict;
    return host.isClosed ? "the node is closing" : null;
  };
  const timeoutMs = request.timeoutMs ?? config.streamTimeoutMs;
  const reply = await whileBusy(performance.now() + timeoutMs, request.signal, () =>
    streams.sync(formatIp(target.ip), target.port, {
      records: () => host.swim.sync.localRecords(),
      userState: host.application.localState(true),
      join: true,
      vet,
      target: target.name ?? undefined,
      timeoutMs,
      signal: request.signal,
    }),
  );
  if (host.isClosed) throw tattlerError("TATTLER_CLOSED");
  driver.perform(host, (nowMs) => host.merge(nowMs, reply.peer, accepted, reply.userState, true));
  return reply;
}

/** Tries again, less and less often, as long as the other side is merely busy: refuses, or gives up by `untilMs`. */
async function whileBusy<T>(untilMs: number, signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      const code = error instanceof TattlerError ? error.code : "";
      const gaveUp = code === "TATTLER_STREAM_TIMEOUT" && performance.now() < untilMs;
      if (!(gaveUp || code === "TATTLER_STREAM_BUSY") || tries >= busyAttempts) throw error;
      // Aborted: the next attempt says so.
      await wait(busyRetryMs * 2 ** (tries - 1), undefined, signal ? { signal } : {}).catch(() => {});
    }
  }
}
