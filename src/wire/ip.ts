/** True when the 16 bytes are an IPv4 address mapped into IPv6 (::ffff:a.b.c.d). */
export function isMappedIpv4(ip: Uint8Array): boolean {
  for (let index = 0; index < 10; index++) {
    if (ip[index] !== 0) return false;
  }
  return ip[10] === 0xff && ip[11] === 0xff;
}
