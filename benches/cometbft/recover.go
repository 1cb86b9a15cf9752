package main

// #cgo LDFLAGS: -lsecp256k1
// #include <secp256k1.h>
// #include <secp256k1_recovery.h>
import "C"

import (
	"bytes"
	"errors"

	"golang.org/x/crypto/sha3"
)

// The library that Openmesh recovers signers with, as Debian ships it.
var library = C.secp256k1_context_create(C.SECP256K1_CONTEXT_VERIFY)

// Half of the order of the group, rounded down: an s above it is high (EIP-2).
var halfOrder = []byte{
	0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
}

var errSignature = errors.New("the signature does not verify")

type address [20]byte

func keccak256(parts ...[]byte) (digest [32]byte) {
	hash := sha3.NewLegacyKeccak256()
	for _, part := range parts {
		hash.Write(part)
	}
	hash.Sum(digest[:0])
	return digest
}

// recoverSigner returns the address whose key signed a digest: r, s, and v, which is 27 or 28.
func recoverSigner(digest [32]byte, signature [65]byte) (signer address, err error) {
	v := signature[64]
	if v != 27 && v != 28 || bytes.Compare(signature[32:64], halfOrder) > 0 {
		return signer, errSignature
	}
	var parsed C.secp256k1_ecdsa_recoverable_signature
	compact := (*C.uchar)(&signature[0])
	if C.secp256k1_ecdsa_recoverable_signature_parse_compact(library, &parsed, compact, C.int(v-27)) != 1 {
		return signer, errSignature
	}
	var key C.secp256k1_pubkey
	if C.secp256k1_ecdsa_recover(library, &key, &parsed, (*C.uchar)(&digest[0])) != 1 {
		return signer, errSignature
	}
	var point [65]byte
	length := C.size_t(len(point))
	C.secp256k1_ec_pubkey_serialize(library, (*C.uchar)(&point[0]), &length, &key, C.SECP256K1_EC_UNCOMPRESSED)
	hash := keccak256(point[1:])
	copy(signer[:], hash[12:])
	return signer, nil
}
