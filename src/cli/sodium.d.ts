/** What we use of sodium-native, which brings no types. */
declare module "sodium-native" {
  const sodium: {
    randombytes_buf(buffer: Uint8Array): void;
    sodium_memzero(buffer: Uint8Array): void;
  };
  export default sodium;
}
