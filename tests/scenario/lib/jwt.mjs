// Tokens as an identity provider makes them, with node:crypto: keys, signatures, and what is wrong with them on purpose.
import crypto from "node:crypto";

const encode = (value) => Buffer.from(value).toString("base64url");
export const now = () => Math.floor(Date.now() / 1000);

// A key with { sign, alg, publicPem, jwk(extra) }; for HS256 { sign, alg, secret }.
export function makeKey(alg) {
  if (alg === "HS256") return secretKey(crypto.randomBytes(32));
  const [kind, options] = { RS256: ["rsa", { modulusLength: 2048 }], ES256: ["ec", { namedCurve: "P-256" }], EdDSA: ["ed25519", {}] }[alg];
  // Read from PEM again: node 20 can deadlock while it exports a key of its generator as a JWK. The export holds the key's
  // mutex, and if the garbage collector frees the generator meanwhile, that waits for the same mutex.
  const { publicKey: publicPem, privateKey: privatePem } = crypto.generateKeyPairSync(kind, {
    ...options,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const publicKey = crypto.createPublicKey(publicPem);
  const key = { key: crypto.createPrivateKey(privatePem), dsaEncoding: "ieee-p1363" };
  return {
    alg,
    sign: (text) => crypto.sign(alg === "EdDSA" ? null : "sha256", Buffer.from(text), key),
    publicPem,
    privatePem,
    jwk: (extra = {}) => ({ ...publicKey.export({ format: "jwk" }), use: "sig", alg, ...extra }),
  };
}

export function secretKey(bytes) {
  return { alg: "HS256", secret: encode(bytes), sign: (text) => crypto.createHmac("sha256", bytes).update(text).digest() };
}

// A token with these claims; of 10 minutes unless `exp` says otherwise.
export function makeToken(key, claims, header = {}) {
  const text = `${encode(JSON.stringify({ typ: "JWT", alg: key.alg, ...header }))}.${encode(JSON.stringify({ exp: now() + 600, ...claims }))}`;
  return `${text}.${encode(key.sign(text))}`;
}
