import { tattlerError } from "../errors.js";
import { isMappedIpv4 } from "../wire/ip.js";
import { type Block, formatIp, isInside, parseIp } from "./address.js";

/** Networks that members may be in (M-183). Enforced on datagrams in C++ (native/allow_list.h), by the same rule. */
export class AllowList {
  /** As the addon takes it: 16 bytes of prefix and one of length for each network. */
  readonly flat: Uint8Array;
  readonly #networks: readonly Block[];

  /** @param texts as resolveConfig() accepted them: "10.0.0.0/8", "fd00::/8" or a single address. */
  constructor(texts: readonly string[]) {
    this.#networks = texts.map(parseNetwork);
    this.flat = Uint8Array.from(this.#networks.flatMap(({ prefix, bits }) => [...prefix, bits]));
  }

  allows(ip: Uint8Array): boolean {
    const isIpv4 = isMappedIpv4(ip);
    return this.#networks.some((network) => isIpv4Network(network) === isIpv4 && isInside(ip, network));
  }

  /** Errors: TATTLER_OPTION_INVALID when we ourselves would not be allowed (T-008). */
  checkOwn(ip: Uint8Array): void {
    if (this.allows(ip)) return;
    const problem = `this node's own address ${formatIp(ip)} is in none of the networks`;
    throw tattlerError("TATTLER_OPTION_INVALID", ["allow", problem, "add a network that has it, or advertise another"]);
  }
}

function parseNetwork(text: string): Block {
  const [address = "", length] = text.split("/");
  const prefix = parseIp(address) ?? new Uint8Array(16);
  if (length === undefined) return { prefix, bits: 128 };
  return { prefix, bits: Number(length) + (address.includes(":") ? 0 : 96) };
}

/** "::/0" is all of IPv6, and not the IPv4 addresses that are kept inside it. */
function isIpv4Network({ prefix, bits }: Block): boolean {
  return isMappedIpv4(prefix) && bits >= 96;
}
