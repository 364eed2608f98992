import type { Config } from "../config.js";
import type {
  AccusedMember,
  Conflict,
  Delegates,
  EvidenceName,
  Member,
  MemberClaim,
  MemberStateName,
} from "../delegates.js";
import { tattlerError } from "../errors.js";
import { EventKind, type MemberEvent } from "../swim/events.js";
import type { Swim } from "../swim/swim.js";
import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import { Evidence } from "../wire/generated/wire/evidence.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import { RecordKind } from "../wire/generated/wire/record-kind.js";
import type { RingReader } from "../wire/receive.js";
import type { MemberRecord } from "../wire/records.js";
import { unknownVersions } from "../wire/versions.js";
import { formatAddress } from "./address.js";
import { atOnce, errorOf, isPromise } from "./at_once.js";
import type { CountedDirectory } from "./directory.js";
import { rangesOf, versionMismatch } from "./versions.js";

export interface ApplicationParts {
  readonly config: Config;
  readonly delegates: Delegates;
  readonly directory: CountedDirectory;
  /** Asked for only when the node runs. */
  readonly swim: () => Swim;
  readonly isClosed: () => boolean;
  /** Queues a call into user code for when the core is at rest. */
  readonly later: (call: () => void) => void;
  /** Tells the user of an error, in its turn. */
  readonly report: (error: Error) => void;
  /** Whether time stands still until user code returns, so that none may go on later. */
  readonly isVirtual: boolean;
}

/** What the application plugged into a node: asked, told, and unable to break anything. No clock, no socket. */
export class Application {
  readonly #parts: ApplicationParts;
  readonly #ip = new Uint8Array(16);

  constructor(parts: ApplicationParts) {
    this.#parts = parts;
  }

  /** Runs user code; what it throws is reported and changes nothing. */
  asks<T>(question: () => T, otherwise: T): T {
    try {
      return question();
    } catch (error) {
      this.report(error);
      return otherwise;
    }
  }

  report(thrown: unknown): void {
    this.#parts.report(errorOf(thrown));
  }

  // --- questions, answered at once

  /** The records of a peer that wants to trade states with us, as we may merge them, or why we do not. */
  admit(peer: string, records: readonly MemberRecord[], join: boolean): readonly MemberRecord[] | string {
    // It would be told of nobody and to nobody, and take that for the cluster.
    if (join && this.#parts.swim().quarantine.isOn) return "it is in quarantine: join through another member";
    return this.vet(peer, records, join);
  }

  /** A peer's records as this node may merge them, or why it does not. */
  vet(peer: string, records: readonly MemberRecord[], join: boolean): readonly MemberRecord[] | string {
    const { delegates, config } = this.#parts;
    const mismatch = versionMismatch(config, peer, records);
    if (mismatch !== null) return mismatch;
    if (join && this.judgesJoins) {
      const claims = records.map(claimOf);
      const question = () => atOnce("allowMerge", delegates.allowMerge?.(claims));
      const refusal = this.asks(question, "the merge delegate failed");
      if (refusal !== undefined) return refusal;
    }
    if (delegates.allowAlive === undefined) return records;
    return records.filter((record) => !this.#isNews(record) || this.#allows(claimOf(record)));
  }

  get judgesJoins(): boolean {
    return this.#parts.delegates.allowMerge !== undefined;
  }

  get hasState(): boolean {
    const { localState, mergeRemoteState } = this.#parts.delegates;
    return localState !== undefined || mergeRemoteState !== undefined;
  }

  /** What the delegate gives; nothing, and a report, when it is no state that a sync can carry. */
  localState(join: boolean): Uint8Array {
    const { delegates, config } = this.#parts;
    const question = (): Uint8Array =>
      checkState(atOnce("localState", delegates.localState?.(join)), config.maxMessageBytes);
    return this.asks(question, new Uint8Array(0));
  }

  /** Asked before an alive is applied (M-088). */
  allowsAlive(reader: RingReader): boolean {
    const versions = reader.versions();
    // Who is no match is dropped by the core; nobody need be asked.
    if (this.#parts.delegates.allowAlive === undefined || !this.#parts.swim().fitsVersions(versions)) return true;
    const port = reader.ip(this.#ip);
    const meta = reader.meta()?.slice() ?? new Uint8Array(0);
    const claim = { name: reader.name(), address: formatAddress(this.#ip, port), state: "alive", meta } as const;
    return this.#allows({ ...claim, ...rangesOf(versions) });
  }

  /** One that throws agrees. */
  allowsTcpPing(member: string): boolean {
    const { delegates } = this.#parts;
    return this.asks(() => atOnce("allowTcpPing", delegates.allowTcpPing?.(member) ?? true), true);
  }

  // --- told in turn, when the core is at rest

  mergeRemoteState(state: Uint8Array, join: boolean): void {
    const { delegates } = this.#parts;
    if (state.length > 0) this.#tell("mergeRemoteState", () => delegates.mergeRemoteState?.(state, join));
  }

  roundTrip(reader: RingReader, rttMs: number): void {
    const { delegates, directory } = this.#parts;
    if (delegates.onRoundTrip === undefined) return;
    const name = directory.nameOf(reader.from);
    const payload = reader.payload();
    this.#tell("onRoundTrip", () => delegates.onRoundTrip?.(name, rttMs, payload));
  }

  conflict(member: MemberHandle, claimedBy: AddressHandle): void {
    const { delegates } = this.#parts;
    if (delegates.onConflict === undefined) return;
    const conflict = this.conflictOf(member, claimedBy);
    this.#tell("onConflict", () => delegates.onConflict?.(conflict));
  }

  // --- what is told

  conflictOf(member: MemberHandle, claimedBy: AddressHandle): Conflict {
    const { directory, swim } = this.#parts;
    const address = this.addressText(swim().roster.addressOf(member));
    return { name: directory.nameOf(member), address, claimedBy: this.addressText(claimedBy) };
  }

  /** The member as it is now, and who accused it, if somebody did. */
  detailOf({ kind, member, from, evidence }: MemberEvent): Member | AccusedMember {
    const snapshot = this.snapshot(member);
    if (kind !== EventKind.suspect && kind !== EventKind.fail) return snapshot;
    const accusedBy = from === 0 ? "" : this.#parts.directory.nameOf(from);
    return Object.freeze({ ...snapshot, accusedBy, evidence: evidenceName(evidence) });
  }

  snapshot(member: MemberHandle): Member {
    const { roster } = this.#parts.swim();
    const meta = roster.metaOf(member);
    const { protocol, application } = rangesOf(roster.versionsOf(member));
    return Object.freeze({
      name: this.#parts.directory.nameOf(member),
      address: this.addressText(roster.addressOf(member)),
      state: stateNames[roster.stateOf(member)] as MemberStateName,
      incarnation: roster.incarnationOf(member),
      meta: meta.length === 0 ? meta : meta.slice(),
      protocol,
      application,
    });
  }

  addressText(address: AddressHandle): string {
    return this.#parts.directory.addressText(address);
  }

  /** Nobody waits for what is told; a promise that fails later is reported as if it had been thrown. */
  #tell(name: keyof Delegates, call: () => unknown): void {
    const { later, isVirtual } = this.#parts;
    later(() => {
      const result = call();
      if (isVirtual) atOnce(name, result);
      else if (isPromise(result)) result.then(undefined, (error: unknown) => this.report(error));
    });
  }

  /** Whether an alive in a sync would change something; the dead are never asked about. */
  #isNews({ name, state, incarnation, versions = unknownVersions }: MemberRecord): boolean {
    const swim = this.#parts.swim();
    if (state > MemberState.suspect || !swim.fitsVersions(versions)) return false;
    return !swim.isStale(RecordKind.alive, this.#parts.directory.find(name), incarnation);
  }

  #allows(claim: MemberClaim): boolean {
    const { delegates, isClosed } = this.#parts;
    const isAllowed = this.asks(() => atOnce("allowAlive", delegates.allowAlive?.(claim) ?? true), false);
    return isAllowed && !isClosed();
  }
}

export function evidenceName(evidence: Evidence): EvidenceName {
  return Evidence[evidence] as EvidenceName;
}

const stateNames: readonly MemberStateName[] = ["alive", "suspect", "dead", "left"];

function checkState(state: unknown, maxBytes: number): Uint8Array {
  if (state === undefined) return new Uint8Array(0);
  if (!(state instanceof Uint8Array)) {
    throw tattlerError("TATTLER_ARGUMENT_INVALID", ["localState", "it returned no Uint8Array", "encode the state"]);
  }
  if (state.length <= maxBytes) return state;
  throw tattlerError("TATTLER_MESSAGE_TOO_LARGE", [String(state.length), String(maxBytes)]);
}

function claimOf(record: MemberRecord): MemberClaim {
  const { name, ip, port, state, meta, versions = unknownVersions } = record;
  const address = formatAddress(ip, port);
  return { name, address, state: stateNames[state] as MemberStateName, meta, ...rangesOf(versions) };
}
