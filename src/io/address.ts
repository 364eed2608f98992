/** Addresses as text and as 16 bytes (IPv4 mapped into IPv6, so that one address has one form, E-10). Pure. */
import { isIPv4, isIPv6 } from "node:net";
import { tattlerError } from "../errors.js";
import { maxNameBytes } from "../wire/frames.js";
import { isMappedIpv4 } from "../wire/ip.js";

/** What "name/host:port" says. */
export interface ParsedAddress {
  /** The member name that is expected there; null when none was given. */
  readonly name: string | null;
  /** Host name or IP, without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface ParseOptions {
  /** Port when the text has none. Range 0 to 65535. */
  readonly defaultPort: number;
  /** True for an address to bind: port 0 lets the system pick one. Default false. */
  readonly allowPortZero?: boolean;
}

export type AddressClass = "unspecified" | "loopback" | "linkLocal" | "private" | "multicast" | "reserved" | "public";

/**
 * Parses `[name/]host[:port]` (M-006). A host is a name, an IPv4, a bare IPv6 or one in brackets; an IPv6
 * with a port needs the brackets. Errors: TATTLER_ADDRESS_INVALID.
 */
export function parseAddress(text: string, options: ParseOptions): ParsedAddress {
  const slash = text.indexOf("/");
  const name = slash < 0 ? null : text.slice(0, slash);
  if (name === "") fail(text, "the name before / is empty");
  if (name !== null && new TextEncoder().encode(name).length > maxNameBytes) fail(text, "no member name is that long");
  const { host, port } = splitPort(text, text.slice(slash + 1));
  checkHost(text, host);
  return { name, host, port: port === null ? options.defaultPort : parsePort(text, port, options) };
}

/** The 16 bytes of an IPv4 or IPv6 text, or null. A zone (fe80::1%eth0) means nothing to others: null. */
export function parseIp(text: string): Uint8Array | null {
  if (isIPv4(text)) return mapIpv4(text.split(".").map(Number));
  if (isIPv6(text) && !text.includes("%")) return parseIpv6(text);
  return null;
}

/** Dotted IPv4, or IPv6 as RFC 5952 wants it. */
export function formatIp(ip: Uint8Array): string {
  if (isMappedIpv4(ip)) return `${ip[12]}.${ip[13]}.${ip[14]}.${ip[15]}`;
  const groups = Array.from({ length: 8 }, (_, index) => (ip[2 * index]! << 8) | ip[2 * index + 1]!);
  const { start, length } = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (length < 2) return hex.join(":");
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}

/** "1.2.3.4:7946" or "[::1]:7946". */
export function formatAddress(ip: Uint8Array, port: number): string {
  return isMappedIpv4(ip) ? `${formatIp(ip)}:${port}` : `[${formatIp(ip)}]:${port}`;
}

/** What kind of network an address belongs to, by the special-purpose registries (RFC 6890). */
export function classifyIp(ip: Uint8Array): AddressClass {
  return blocks.find((block) => isInside(ip, block))?.class ?? "public";
}

/** RFC 1918, shared address space (RFC 6598) and unique local IPv6. */
export function isPrivate(ip: Uint8Array): boolean {
  return classifyIp(ip) === "private";
}

/** Routable on the internet. */
export function isPublic(ip: Uint8Array): boolean {
  return classifyIp(ip) === "public";
}

/** A network: all addresses that share the first `bits` of 128 with the prefix. */
export interface Block {
  readonly prefix: Uint8Array;
  readonly bits: number;
}

export function isInside(ip: Uint8Array, { prefix, bits }: Block): boolean {
  for (let index = 0; 8 * index < bits; index++) {
    const ignored = Math.max(0, 8 * (index + 1) - bits);
    if (ip[index]! >> ignored !== prefix[index]! >> ignored) return false;
  }
  return true;
}

interface ClassBlock extends Block {
  readonly class: AddressClass;
}

// The first match counts. IPv4 lengths are given as usual and shifted behind ::ffff:0:0/96.
const blocks: readonly ClassBlock[] = [
  block("unspecified", "0.0.0.0", 32),
  block("loopback", "127.0.0.0", 8),
  block("linkLocal", "169.254.0.0", 16),
  block("private", "10.0.0.0", 8),
  block("private", "172.16.0.0", 12),
  block("private", "192.168.0.0", 16),
  block("private", "100.64.0.0", 10),
  block("multicast", "224.0.0.0", 4),
  block("reserved", "0.0.0.0", 8),
  block("reserved", "192.0.0.0", 24),
  block("reserved", "192.0.2.0", 24),
  block("reserved", "198.18.0.0", 15),
  block("reserved", "198.51.100.0", 24),
  block("reserved", "203.0.113.0", 24),
  block("reserved", "240.0.0.0", 4),
  block("public", "0.0.0.0", 0),
  block("unspecified", "::", 128),
  block("loopback", "::1", 128),
  block("linkLocal", "fe80::", 10),
  block("private", "fc00::", 7),
  block("multicast", "ff00::", 8),
  block("reserved", "::", 64),
  block("reserved", "100::", 64),
  block("reserved", "2001:db8::", 32),
];

function block(addressClass: AddressClass, prefix: string, bits: number): ClassBlock {
  return { class: addressClass, prefix: parseIp(prefix)!, bits: isIPv4(prefix) ? 96 + bits : bits };
}

function splitPort(text: string, rest: string): { host: string; port: string | null } {
  if (rest.startsWith("[")) return splitBrackets(text, rest);
  const colons = rest.split(":").length - 1;
  if (colons === 0) return { host: rest, port: null };
  if (colons > 1) {
    if (!isIPv6(rest)) fail(text, "more than one colon, but no IPv6 address; one with a port needs brackets");
    return { host: rest, port: null };
  }
  const [host, port] = rest.split(":");
  return { host: host!, port: port! };
}

function splitBrackets(text: string, rest: string): { host: string; port: string | null } {
  const match = /^\[([^\]]*)\](?::(.*))?$/s.exec(rest);
  if (match === null) fail(text, "brackets must enclose the host and be followed by nothing or :port");
  const host = match[1]!;
  if (!isIPv6(host)) fail(text, "only an IPv6 address goes into brackets");
  return { host, port: match[2] ?? null };
}

function checkHost(text: string, host: string): void {
  if (host === "") fail(text, "the host is missing");
  if (host.includes("%")) fail(text, "a zone (%) means nothing to other members; use an address without one");
  if (isIPv4(host) || isIPv6(host)) return;
  if (!/^[\p{L}\p{N}_.-]{1,253}$/u.test(host)) fail(text, "the host holds characters that no host name has");
  // The system resolver takes "10.1" for 10.0.0.1; nobody means that.
  if (/^[\d.]+$/.test(host)) fail(text, "the host is no valid IPv4 address");
}

function parsePort(text: string, port: string, options: ParseOptions): number {
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) fail(text, "the port is not a number up to 65535");
  if (Number(port) === 0 && !options.allowPortZero) fail(text, "port 0 can be bound, but not connected to");
  return Number(port);
}

function fail(text: string, why: string): never {
  throw tattlerError("TATTLER_ADDRESS_INVALID", [JSON.stringify(text), why]);
}

function mapIpv4(bytes: readonly number[]): Uint8Array {
  return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes);
}

/** Of a text that isIPv6() accepted. */
function parseIpv6(text: string): Uint8Array {
  const [head, tail] = text.split("::");
  const front = groupBytes(head!);
  const back = groupBytes(tail ?? "");
  const ip = new Uint8Array(16);
  ip.set(front, 0);
  ip.set(back, 16 - back.length);
  return ip;
}

function groupBytes(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (group.includes(".")) return group.split(".").map(Number);
    const number = Number.parseInt(group, 16);
    return [number >> 8, number & 0xff];
  });
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  groups.forEach((group, index) => {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  });
  return best;
}
