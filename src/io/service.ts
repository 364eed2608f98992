/** Services that DNS knows by SRV records (RFC 2782), an addition to memberlist's addresses. */
import { Resolver } from "node:dns/promises";
import { tattlerError } from "../errors.js";
import type { Random } from "../random.js";
import { type ParsedAddress, type ParseOptions, parseAddress } from "./address.js";
import { type ResolveOptions, settled } from "./resolve.js";

/** What join() is told: an address, or the name of a service, whose records have the ports. */
export type JoinTarget = ParsedAddress & { readonly text: string; readonly isService: boolean };

/**
 * Parses an address, `srv:<service>`, or the name of a service that shows by its form: `_gossip._tcp.example.org`.
 * Errors: TATTLER_ADDRESS_INVALID.
 */
export function parseTarget(text: string, options: ParseOptions): JoinTarget {
  const service = /^(?:srv:(?!\d+$)(.*)|(_[^./:]+\._[^/:]*))$/s.exec(text);
  if (service === null) return { ...parseAddress(text, options), text, isService: false };
  const parsed = parseAddress(service[1] ?? service[2] ?? "", options);
  const isPlain = parsed.name === null && parsed.host === (service[1] ?? service[2]) && !/^[\d.]+$/.test(parsed.host);
  if (isPlain && !parsed.host.includes(":")) return { ...parsed, port: 0, text, isService: true };
  const why = "a service is a DNS name alone, without a member's name and without a port, which its records have";
  throw tattlerError("TATTLER_ADDRESS_INVALID", [JSON.stringify(text), why]);
}

/**
 * The hosts and ports of a service, the preferred ones first. Errors: TATTLER_ADDRESS_UNRESOLVED, TATTLER_ABORTED.
 */
export async function resolveService(service: string, options: ResolveOptions, random: Random): Promise<JoinTarget[]> {
  // Our own, so that it can be cancelled, and no query of others with it.
  const own = options.resolver === undefined ? new Resolver() : null;
  try {
    const records = await settled(service, (own ?? options.resolver!).resolveSrv(service), options);
    const ordered = inOrderOfPreference(records, random).filter(({ name }) => name !== "" && name !== ".");
    if (ordered.length === 0) throw tattlerError("TATTLER_ADDRESS_UNRESOLVED", [service, "nobody offers this service"]);
    return ordered.map(({ name, port }) => ({
      name: null,
      host: name,
      port,
      text: `${name}:${port}`,
      isService: false,
    }));
  } finally {
    own?.cancel();
  }
}

export interface Preference {
  readonly priority: number;
  readonly weight: number;
}

/** Lower priorities first; among equals by lot, in proportion to the weights (RFC 2782). */
export function inOrderOfPreference<R extends Preference>(records: readonly R[], random: Random): R[] {
  // Those without weight first, so that they have a small chance only.
  const left = [...records].sort((a, b) => a.priority - b.priority || a.weight - b.weight);
  const ordered: R[] = [];
  for (let first = left[0]; first !== undefined; first = left[0]) {
    const { priority } = first;
    const equals = left.filter((record) => record.priority === priority);
    const total = equals.reduce((sum, { weight }) => sum + weight, 0);
    let lot = random.below(total + 1);
    const drawn = equals.findIndex(({ weight }) => {
      lot -= weight;
      return lot <= 0;
    });
    ordered.push(...left.splice(drawn, 1));
  }
  return ordered;
}
