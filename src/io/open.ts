import type { Config } from "../config.js";
import type { Delegates } from "../delegates.js";
import { tattlerError } from "../errors.js";
import type { AddressHandle, Endpoint, Keyring, MemberHandle } from "../wire/addon.js";
import type { MemberRecord } from "../wire/records.js";
import { formatAddress, formatIp, parseAddress, parseIp } from "./address.js";
import { AllowList } from "./allow_list.js";
import { acquireDriver, type Driver, releaseDriver } from "./driver.js";
import { type Emit, Host } from "./host.js";
import { logRefusal } from "./log.js";
import { backendOf, loadAddon, receiveBufferBytes } from "./native.js";
import { answerDigest } from "./reconcile.js";
import { chooseAdvertiseIp, resolve } from "./resolve.js";
import { type FrameSealer, Streams, type SyncAnswer } from "./streams.js";
import { warnOfPublicPlaintext } from "./warning.js";

/** A node with its sockets open and its core running. */
export interface OpenedNode {
  readonly host: Host;
  readonly driver: Driver;
  readonly streams: Streams;
  readonly self: MemberHandle;
  readonly port: number;
  /** The address that both sockets are bound to; all zeros for every address of this machine. */
  readonly boundIp: Uint8Array;
  readonly allow: AllowList | null;
  close(): Promise<void>;
}

/** UDP ports tried when the system picks one, because TCP's choice may be taken on UDP (M-003). */
const portAttempts = 10;

interface Sockets {
  readonly streams: Streams;
  readonly endpoint: Endpoint;
}

/** What answers on the streams; filled in once the node stands. */
interface Late {
  /** Null: no restriction. */
  readonly allow: AllowList | null;
  endpoint: Endpoint | null;
  host: Host | null;
}

interface Opening {
  readonly config: Config;
  readonly keyring: Keyring | null;
  readonly ip: Uint8Array;
  readonly self: MemberHandle;
  readonly driver: Driver;
  readonly late: Late;
}

/** Opens both sockets, introduces the node to itself and starts it. */
export async function openNode(
  config: Config,
  keyring: Keyring | null,
  delegates: Delegates,
  emit: Emit,
): Promise<OpenedNode> {
  const bind = parseAddress(config.bind, { defaultPort: 7946, allowPortZero: true });
  const [bound] = await resolve(bind.host, bind.port);
  if (bound === undefined) throw tattlerError("TATTLER_ADDRESS_UNRESOLVED", [bind.host, "it has no address"]);
  const advertised = advertisedBy(config, bound.ip);
  const allow = config.allow && new AllowList(config.allow);
  allow?.checkOwn(advertised.ip);
  const driver = acquireDriver(config.backend);
  const { directory } = driver;
  const self = directory.intern(config.name);
  const late: Late = { allow, endpoint: null, host: null };
  let opened: Sockets;
  try {
    if (self === 0) throw tattlerError("TATTLER_BIND_FAILED", [config.name, "its name collides with another"]);
    opened = await openSockets({ config, keyring, ip: bound.ip, self, driver, late }, bind.port);
  } catch (error) {
    if (self !== 0) directory.release(self);
    releaseDriver(config.backend);
    throw error;
  }
  const { streams, endpoint } = opened;
  const selfAddress = directory.internAddress(advertised.ip, advertised.port || endpoint.port);
  const host = new Host({ config, driver, endpoint, streams, self, selfAddress, allow, delegates, emit });
  late.host = host;
  warnOfPublicPlaintext(advertised.ip, advertised.port || endpoint.port, keyring !== null && config.encryptOutgoing);
  driver.add(host);
  driver.perform(host, (nowMs) => host.swim.start(nowMs));
  const addresses = {
    bound: formatAddress(bound.ip, endpoint.port),
    advertised: host.application.addressText(selfAddress),
  };
  logStart(config, host, addresses, keyring !== null);
  const close = (): Promise<void> => closeNode(config, driver, host, streams, { self, selfAddress });
  return { host, driver, streams, self, port: endpoint.port, boundIp: bound.ip, allow, close };
}

function logStart(
  config: Config,
  host: Host,
  addresses: { bound: string; advertised: string },
  hasKeys: boolean,
): void {
  const { log, endpoint } = host;
  const isEncrypted = hasKeys && config.encryptOutgoing;
  const { bound, advertised } = addresses;
  const { profile } = config;
  const fields = { address: bound, advertised, isEncrypted, backend: backendOf(config.backend), profile };
  log.info("start", fields, `listening on ${bound}, known to others as ${advertised}`);
  const grantedBytes = endpoint.receiveBufferBytes;
  if (grantedBytes >= receiveBufferBytes) return;
  const remedy = `allow more: sysctl -w net.core.rmem_max=${receiveBufferBytes}`;
  const message = `the system grants a receive buffer of ${grantedBytes} bytes only, bursts may be lost; ${remedy}`;
  log.warn("receive_buffer_small", { grantedBytes, wantedBytes: receiveBufferBytes, remedy }, message);
}

async function closeNode(
  config: Config,
  driver: Driver,
  host: Host,
  streams: Streams,
  handles: { readonly self: MemberHandle; readonly selfAddress: AddressHandle },
): Promise<void> {
  host.isClosed = true;
  host.onClose?.();
  host.payloads.close();
  host.pings.close();
  driver.remove(host);
  host.endpoint.close();
  host.swim.stop();
  host.past.clear();
  driver.directory.releaseAddress(handles.selfAddress);
  driver.directory.release(handles.self);
  try {
    await streams.close();
  } finally {
    releaseDriver(config.backend);
    host.log.info("close", {}, "closed");
  }
}

function advertisedBy(config: Config, boundIp: Uint8Array): { ip: Uint8Array; port: number } {
  if (config.advertise === null) return { ip: chooseAdvertiseIp(boundIp), port: 0 };
  const { host, port } = parseAddress(config.advertise, { defaultPort: 0, allowPortZero: true });
  const ip = parseIp(host);
  if (ip !== null) return { ip, port };
  throw tattlerError("TATTLER_OPTION_INVALID", ["advertise", `"${host}" is not an IP address`, "give one as text"]);
}

async function openSockets(opening: Opening, port: number): Promise<Sockets> {
  const { config, ip, driver, late } = opening;
  for (let attempt = 1; ; attempt++) {
    const streams = makeStreams(config, ip, port, driver, late);
    const granted = await streams.listen();
    try {
      const endpoint = openEndpoint(opening, granted);
      late.endpoint = endpoint;
      return { streams, endpoint };
    } catch (error) {
      await streams.close();
      if (port !== 0 || attempt >= portAttempts) throw error;
    }
  }
}

function openEndpoint({ config, keyring, ip, self, driver, late }: Opening, port: number): Endpoint {
  const { cluster, stallToleranceMs, pingsPerSecond, datagramBytes } = config;
  const { retransmitMult, queueRecords, messageShare, gossipFeedback, urgentFanout } = config;
  const limits = { cluster, stallToleranceMs, pingsPerSecond, datagramBytes };
  const queue = { retransmitMult, queueRecords, messageShare, gossipFeedback, urgentFanout };
  const tuning = { ...limits, ...queue, networks: late.allow?.flat };
  try {
    const endpoint = driver.hub.open({ ip, port, self, keyring, ...tuning });
    endpoint.setEncryption(config.verifyIncoming, config.encryptOutgoing);
    return endpoint;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw tattlerError("TATTLER_BIND_FAILED", [`${formatAddress(ip, port)} (UDP)`, reason], error);
  }
}

function makeStreams(config: Config, ip: Uint8Array, port: number, driver: Driver, late: Late): Streams {
  const { cluster, compression, maxStreams, maxSyncRecords, maxMessageBytes, streamTimeoutMs } = config;
  const { maxStreamsPerPeer, maxSendsPerPeer, maxQueuedSends, maxExchangeBytes } = config;
  const sealer: FrameSealer = {
    seal: (frame, context) => late.endpoint?.seal(frame, context) ?? new Uint8Array(0),
    open: (chunk, context) => late.endpoint?.open(chunk, context) ?? 0,
    verify: (frame) => late.endpoint?.verifyFrame(frame) ?? false,
  };
  return new Streams({
    host: formatIp(ip),
    port,
    clusterTag: loadAddon().clusterTag(cluster),
    cluster,
    compression,
    sealer,
    selfName: () => config.name,
    maxStreams,
    maxStreamsPerPeer,
    maxSendsPerPeer,
    maxQueuedSends,
    maxExchangeBytes,
    maxSyncRecords,
    maxMessageBytes,
    maxMetaBytes: config.metaMaxBytes,
    streamTimeoutMs,
    allows: late.allow === null ? undefined : (peer) => late.allow?.allows(peer) === true,
    handlers: {
      onSync: (peer, records, state, join) => answerSync(driver, late.host, peer, records, state, join),
      onDigest: (peer, salt, fingerprints) => answerDigest(driver, late.host, peer, salt, fingerprints),
      onMessage: (peer, payload) => {
        const { host } = late;
        if (host !== null) driver.perform(host, () => host.handleReliableMessage(peer, payload));
      },
      onPing: (target) => target === config.name,
      onHandlerError: (error) => late.host?.application.report(error),
    },
  });
}

/** Our state goes out as it was before theirs comes in; a refused peer learns nothing (E-75). */
function answerSync(
  driver: Driver,
  host: Host | null,
  peer: string,
  records: readonly MemberRecord[],
  state: Uint8Array,
  join: boolean,
): SyncAnswer {
  if (host === null || host.isClosed) return { refuse: "the node is starting or closing" };
  const accepted = host.application.admit(peer, records, join);
  if (typeof accepted === "string") {
    logRefusal(host.log, peer, accepted);
    return { refuse: accepted };
  }
  const merge = (): void => {
    if (!host.isClosed) driver.perform(host, (nowMs) => host.merge(nowMs, peer, accepted, state, join));
  };
  return { records: host.swim.sync.localRecords(), userState: host.application.localState(join), merge };
}
