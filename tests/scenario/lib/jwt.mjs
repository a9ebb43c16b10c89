// Tokens as an identity provider makes them, with node:crypto: keys, signatures, and what is wrong with them on purpose.
import crypto from "node:crypto";

const encode = (value) => Buffer.from(value).toString("base64url");
export const now = () => Math.floor(Date.now() / 1000);

// A key with { sign, alg, publicPem, jwk(extra) }; for HS256 { sign, alg, secret }.
export function makeKey(alg) {
  if (alg === "HS256") return secretKey(crypto.randomBytes(32));
  const [kind, options] = { RS256: ["rsa", { modulusLength: 2048 }], ES256: ["ec", { namedCurve: "P-256" }], EdDSA: ["ed25519", {}] }[alg];
  const { privateKey, publicKey } = crypto.generateKeyPairSync(kind, options);
  const key = { key: privateKey, dsaEncoding: "ieee-p1363" };
  return {
    alg,
    sign: (text) => crypto.sign(alg === "EdDSA" ? null : "sha256", Buffer.from(text), key),
    publicPem: publicKey.export({ type: "spki", format: "pem" }),
    privatePem: privateKey.export({ type: "pkcs8", format: "pem" }),
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
