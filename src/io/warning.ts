import { formatAddress, isPublic } from "./address.js";

let isGiven = false;

/** Warns, once in a process, of a node that the internet can reach and whose traffic is not encrypted (M-004). */
export function warnOfPublicPlaintext(ip: Uint8Array, port: number, isEncrypted: boolean): void {
  if (isEncrypted || isGiven || !isPublic(ip)) return;
  isGiven = true;
  process.emitWarning(`${formatAddress(ip, port)} is a public address, and nothing that this node sends is encrypted`, {
    type: "TattlerWarning",
    code: "TATTLER_PUBLIC_PLAINTEXT",
    detail: "Give `keys`, or advertise a private address.",
  });
}
