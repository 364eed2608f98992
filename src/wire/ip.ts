/** True when the 16 bytes are an IPv4 address mapped into IPv6 (::ffff:a.b.c.d). */
export function isMappedIpv4(ip: Uint8Array): boolean {
  for (let index = 0; index < 10; index++) {
    if (ip[index] !== 0) return false;
  }
  return ip[10] === 0xff && ip[11] === 0xff;
}

/** Writes an IPv4 address, given as a big-endian number, mapped into IPv6. */
export function writeMappedIpv4(ip: number, into: Uint8Array): void {
  into.fill(0, 0, 10);
  into[10] = 0xff;
  into[11] = 0xff;
  into[12] = ip >>> 24;
  into[13] = ip >>> 16;
  into[14] = ip >>> 8;
  into[15] = ip;
}

let lastShared = new Uint8Array(16);

/** An array of these 16 bytes, not to be changed: the last one again where it has them, as for members of one host. */
export function sharedIp(ip: Uint8Array): Uint8Array {
  for (let i = 0; i < 16; i++) if (ip[i] !== lastShared[i]) return (lastShared = ip.slice());
  return lastShared;
}
