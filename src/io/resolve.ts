/** What the machine knows about addresses: its name resolver and its network interfaces. */
import { lookup, type Resolver } from "node:dns/promises";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { tattlerError } from "../errors.js";
import { isMappedIpv4 } from "../wire/ip.js";
import { classifyIp, formatIp, parseIp } from "./address.js";

export interface ResolvedAddress {
  /** 16 bytes, IPv4 mapped into IPv6. */
  readonly ip: Uint8Array;
  readonly port: number;
}

/** All addresses of a name, as texts. */
export type Lookup = (host: string) => Promise<readonly { readonly address: string }[]>;
export type Interfaces = NodeJS.Dict<Pick<NetworkInterfaceInfo, "address" | "internal">[]>;

const longestTimerMs = 0x7fffffff;

/** What a name server is asked; a Resolver of node:dns/promises does. */
export type NameServer = Pick<Resolver, "resolve4" | "resolve6" | "resolveSrv">;

export interface ResolveOptions {
  readonly signal?: AbortSignal | undefined;
  /** Longest wait, in milliseconds. Default: as long as the resolver takes. */
  readonly timeoutMs?: number | undefined;
  /** Asked for names instead of the system, which knows of hosts files and more. */
  readonly resolver?: NameServer | undefined;
  /** Default: the system's resolver, in its order. */
  readonly lookup?: Lookup;
}

/**
 * All addresses of a host, an IP or a name, each once. Errors: TATTLER_ADDRESS_UNRESOLVED, TATTLER_ABORTED.
 */
export async function resolve(host: string, port: number, options: ResolveOptions = {}): Promise<ResolvedAddress[]> {
  const literal = parseIp(host);
  if (literal !== null) return [{ ip: literal, port }];
  const found = await lookUp(host, options);
  const texts = new Set<string>();
  for (const { address } of found) {
    const ip = parseIp(address);
    if (ip !== null) texts.add(formatIp(ip));
  }
  if (texts.size === 0) throw tattlerError("TATTLER_ADDRESS_UNRESOLVED", [host, "it has no usable address"]);
  return [...texts].map((text) => ({ ip: parseIp(text)!, port }));
}

/**
 * The address to tell others for a socket bound to `bindIp`: itself, or, for 0.0.0.0 and ::, the first private
 * address of this machine, else the first public one, else a link-local IPv4. :: takes either family.
 * Errors: TATTLER_ADVERTISE_MISSING, TATTLER_INTERFACES_UNREADABLE.
 */
export function chooseAdvertiseIp(bindIp: Uint8Array, interfaces?: Interfaces): Uint8Array {
  if (classifyIp(bindIp) !== "unspecified") return bindIp;
  const candidates = externalIps(interfaces ?? ownInterfaces()).filter(
    (ip) => !isMappedIpv4(bindIp) || isMappedIpv4(ip),
  );
  const best = advertiseOrder.map((wanted) => candidates.find((ip) => classifyIp(ip) === wanted)).find(Boolean);
  if (best === undefined) throw tattlerError("TATTLER_ADVERTISE_MISSING", [formatIp(bindIp)]);
  return best;
}

/** Whether a socket of this machine that is bound to `boundIp` is what answers at `ip`. */
export function isReachedAt(ip: Uint8Array, boundIp: Uint8Array, interfaces?: Interfaces): boolean {
  if (classifyIp(boundIp) !== "unspecified") return formatIp(ip) === formatIp(boundIp);
  if (isMappedIpv4(boundIp) && !isMappedIpv4(ip)) return false;
  if (["loopback", "unspecified"].includes(classifyIp(ip))) return true;
  const own = Object.values(interfaces ?? ownInterfaces()).flatMap((addresses) => addresses ?? []);
  return own.some(({ address }) => parseIp(address) !== null && formatIp(parseIp(address)!) === formatIp(ip));
}

/**
 * The interfaces of this machine. Listing them takes a file descriptor, and without one left the system's text is
 * "Unknown system error 24". Errors: TATTLER_INTERFACES_UNREADABLE.
 */
export function ownInterfaces(list: () => Interfaces = networkInterfaces): Interfaces {
  try {
    return list();
  } catch (error) {
    throw tattlerError("TATTLER_INTERFACES_UNREADABLE", [(error as Error).message], error);
  }
}

const advertiseOrder = ["private", "public", "reserved", "linkLocal"] as const;

function externalIps(interfaces: Interfaces): Uint8Array[] {
  return Object.values(interfaces)
    .flatMap((addresses) => addresses ?? [])
    .filter((address) => !address.internal)
    .map((address) => parseIp(address.address))
    .filter((ip): ip is Uint8Array => ip !== null && !isScoped(ip));
}

/** A link-local IPv6 address is only good with a zone, which others do not share. */
function isScoped(ip: Uint8Array): boolean {
  return !isMappedIpv4(ip) && classifyIp(ip) === "linkLocal";
}

function lookUp(host: string, options: ResolveOptions): Promise<readonly { readonly address: string }[]> {
  const { resolver, signal } = options;
  if (signal?.aborted) return Promise.reject(aborted(host, signal));
  if (resolver !== undefined) return settled(host, lookUpBoth(host, resolver), options);
  const ask = options.lookup ?? ((name) => lookup(name, { all: true, verbatim: true }));
  return settled(host, ask(host), options);
}

/** A and AAAA; one of them is enough. */
async function lookUpBoth(host: string, resolver: NameServer): Promise<readonly { readonly address: string }[]> {
  const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  const addresses = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  const failure = answers.find((answer) => answer.status === "rejected");
  if (addresses.length === 0 && failure !== undefined) throw failure.reason;
  return addresses.map((address) => ({ address }));
}

/**
 * The answer about `host`, in time and unless aborted. A look-up cannot be cancelled; one that is late ends unheard.
 * Errors: TATTLER_ADDRESS_UNRESOLVED, TATTLER_ABORTED.
 */
export function settled<T>(host: string, answer: Promise<T>, { signal, timeoutMs }: ResolveOptions): Promise<T> {
  const failed = (why: string, cause?: unknown) => tattlerError("TATTLER_ADDRESS_UNRESOLVED", [host, why], cause);
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    const give = (error: Error): void => {
      end();
      reject(error);
    };
    const abort = (): void => give(aborted(host, signal!));
    const late = (): void => give(failed(`no answer within ${timeoutMs} ms`));
    const timer = timeoutMs === undefined ? undefined : setTimeout(late, Math.min(timeoutMs, longestTimerMs));
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
    answer.then(
      (value) => {
        end();
        resolve(value);
      },
      (error) => give(failed(String(error.message), error)),
    );
  });
}

function aborted(host: string, signal: AbortSignal): Error {
  return tattlerError("TATTLER_ABORTED", [host], signal.reason);
}
