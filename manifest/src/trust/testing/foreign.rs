//! Keys of the other types that TUF names, and what they signed.
//!
//! Made once with OpenSSL 3.0; nobody has the private halves any more.

/// What every signature here is over.
pub const MESSAGE: &[u8] = b"a message that other tools signed";

/// A public key and its signature over [`MESSAGE`].
#[derive(Debug, Clone, Copy)]
pub struct ForeignKey {
    /// The public half in PEM.
    pub public: &'static str,
    /// A signature in hex digits.
    pub signature: &'static str,
}

/// ECDSA over P-256 with SHA-256; the signature is DER.
pub const ECDSA: ForeignKey = ForeignKey {
    public: "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE0RERWFPuBv45sRhSP4+yRsRWnXDS
diK3XdWzebfsRAXlCl/ujz91sdh7cWDC4hiUevL6B5v3T6pL/b/qhcrZIg==
-----END PUBLIC KEY-----\n",
    signature: "3045022100ca237a6b31f4a50ad72eb7f45349c0d0a3b1308b50189e0c47952fce77b86593022037\
        5c83f993dac2232425eed2625313825ffc8c2fef59849bbdd4020e958b915b",
};

/// RSA of 2048 bits; PSS with SHA-256 and a salt of 32 bytes.
pub const RSA: ForeignKey = ForeignKey {
    public: "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAuIEpWW/ii76Xn4mt3euL
FgNGCwiUSc9liV/WCRP/GsNqQIu3RgmuTa4TphFBoXFSR3RgB2RxtCZemFhHk1Ry
FL9QB4V4vzOQFeXNxTfFo6uyXOJQJvHEJCTGwswjrJCVP4cB1YUHwbfyL2zetrh4
i1GIRbzPMahdEsYCh5aTBx1eQmSNA+asTAuPcDtW61vwaZCZgzMP0AU/Q49bNzHe
ONskMJGVXogMxATanTkSRzGINHjUjb2BqVBGFMkKcynlJUnewRRM5K+06QB7WBXv
jv+YVf5vJ3z/izTOYNsGjZVco8ucl3gQfgfUB283ov5ss24pbsJ+tmVh3L3DyXvZ
cwIDAQAB
-----END PUBLIC KEY-----\n",
    signature: "7d02ebe6c963486c14ff8653bed2831029742cf3bb05786e54002c6236755ee8af7279c16f859213\
        5f76cae11382196cc5460f9ba35a2e87e38af387a72595e279b6a182727ebc18365653558d7f9808\
        51c10ebbfe46f7e4fdd03534ee80787eab9bc3359fc81b6ae9a1c1c7f6392805b46e555b52f7b3c8\
        9fc42eb31dc29185ec607243ff2d6cdf829dedf333f92d1482e5e8819b6ac9fb935f4913b5fa61a7\
        8d3f5e78e405d5fa24484eb88302574bfc0f31aeb84eef178a13c421cae63a00f90360f477ef70ae\
        262a1d52c3e6a69aea98ef8611cafff7297fd4bc20d7a643c390739875e8c07d449c8883b99943e1\
        e3958f5995b0236c1da1e2566a889fc5",
};

/// The key of [`RSA`] in the older form of PKCS #1.
pub const RSA_PKCS1: &str = "-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAuIEpWW/ii76Xn4mt3euLFgNGCwiUSc9liV/WCRP/GsNqQIu3Rgmu
Ta4TphFBoXFSR3RgB2RxtCZemFhHk1RyFL9QB4V4vzOQFeXNxTfFo6uyXOJQJvHE
JCTGwswjrJCVP4cB1YUHwbfyL2zetrh4i1GIRbzPMahdEsYCh5aTBx1eQmSNA+as
TAuPcDtW61vwaZCZgzMP0AU/Q49bNzHeONskMJGVXogMxATanTkSRzGINHjUjb2B
qVBGFMkKcynlJUnewRRM5K+06QB7WBXvjv+YVf5vJ3z/izTOYNsGjZVco8ucl3gQ
fgfUB283ov5ss24pbsJ+tmVh3L3DyXvZcwIDAQAB
-----END RSA PUBLIC KEY-----\n";

/// A signature by [`RSA`] in the padding of PKCS #1 1.5, which no scheme of TUF is.
pub const RSA_PKCS1_SIGNATURE: &str = "53f274fa73789ded25fcab4e55faed31426eafbe5e316d8168b2d30b837f16835f28385c915df834\
        f2d24ed3f133bfe1cfe037ec98c19712b2baae1427ea0f2928fe8e10307a1debc16ad761fd03e309\
        a37bcdf11ce640f723a88fcdd7accaceb4bbd8ead0d8ed89923a12d73d1555ed83a47987817b2b20\
        764731d8feea948400d4c7d1cc649dbc30f488f47567d24155946e381113e2b5528a38c3704ed6e2\
        0dd74d25d95cc1055fc43633b152a869412b18c68aabcd5316967d9da6af8289537b1e067fb1509d\
        7d8124a037fe2fe5e4b57699c8ca8fb485506a6cf483a82875cea42f0a6cc4b41af9ec3cc3ba2cb6\
        d5a1916c05b54684feb9b3215826bf17";

/// RSA of 1024 bits: too short to count.
pub const RSA_1024: ForeignKey = ForeignKey {
    public: "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDVwbsc0JFau5aS0R6BqsatXb9K
ZuVd1GkPInOqINDgETG/O0P3kZwEjuJK4sod2jzYuLRphzhI7P1PgnnYz0TvEpuH
3T+S5flqXQLMQ1LPQpZXoL9A3X+5lyJSLVh/nRtQZqRZIZcuxOVR2qkMaB4/xUka
ATq9fABn5E7gAJBWhwIDAQAB
-----END PUBLIC KEY-----\n",
    signature: "52e9c1747eac6808255731bc4a3061ca1322470e9f08aab3f08dad76eafb97b9b7a869d703241b6c\
        f7892eab8f014d0ca817817ac979f619e88fb5385168c3416601857c801627aac914c5bc8d57db6c\
        a655049b2a9b2d05ea3e5fb62cf801236f03f2dfcc34fd463f4900a765d2e7ca001d8fb54f6e52b0\
        0be7ac2227977bcf",
};

/// A key of P-384, which no scheme of TUF takes.
pub const P384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEpFNIzwBRFC9Ij2Yxo7dx+Lb3VAQ6UkZl
Dsu9x44RmwOrxM72riK6wRY5RhTzrJJdxjfeITDk49Wk1SBI9NY4Up9UECV9aqbw
xz7KTL7TZiesNc5iugwqWH0ZM8/ozB9+
-----END PUBLIC KEY-----\n";
