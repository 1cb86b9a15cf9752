package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/big"
	"sync"

	"github.com/cometbft/cometbft/abci/types"
)

// Bytes of a signed transfer of Openmesh: class, chain, nonce, most for fees, tip, action, receiver, amount, signature (docs/spec/transactions.md).
const transferBytes = 1 + 8 + 8 + 16 + 16 + 1 + 20 + 16 + 65

// Units that every account has at first. Openmesh's genesis names its accounts; here it would only make CometBFT's start longer.
const balanceAtFirst = 1_000_000_000

// Codes of results.
const (
	codeRefused = 1
	codeUsed    = 2
	codeSpent   = 3
)

var (
	errForm     = errors.New("not a signed transfer")
	typeHash    = keccak256([]byte("Transfer(address to,uint256 amount,uint256 nonce,uint256 maxFee,uint256 tip)"))
	domainHash  = keccak256([]byte("EIP712Domain(string name,string version,uint256 chainId)"))
	nameHash    = keccak256([]byte("Openmesh"))
	versionHash = keccak256([]byte("1"))
)

// transfer is what is executed of a transaction whose signature was verified.
type transfer struct {
	from, to address
	nonce    uint64
	amount   uint64
}

// word is a number of up to 16 bytes, little-endian as on the wire, as one of EIP-712's words.
func word(little []byte) []byte {
	word := make([]byte, 32)
	for index, octet := range little {
		word[31-index] = octet
	}
	return word
}

// verify decodes a transfer and recovers its signer: what Openmesh does with each, by the same library.
func verify(tx []byte) (transfer, error) {
	if len(tx) != transferBytes || tx[0] != 0 || tx[49] != 0 {
		return transfer{}, errForm
	}
	chain, nonce, maxFee, tip := tx[1:9], tx[9:17], tx[17:33], tx[33:49]
	to, amount := tx[50:70], tx[70:86]
	if !new(big.Int).SetBytes(word(amount)).IsUint64() {
		return transfer{}, errForm
	}
	receiver := append(make([]byte, 12), to...)
	message := keccak256(typeHash[:], receiver, word(amount), word(nonce), word(maxFee), word(tip))
	domain := keccak256(domainHash[:], nameHash[:], versionHash[:], word(chain))
	digest := keccak256([]byte{0x19, 0x01}, domain[:], message[:])
	signer, err := recoverSigner(digest, [65]byte(tx[86:]))
	if err != nil {
		return transfer{}, err
	}
	return transfer{
		from:   signer,
		to:     address(to),
		nonce:  binary.LittleEndian.Uint64(nonce),
		amount: binary.LittleEndian.Uint64(amount),
	}, nil
}

// A nonce that an account has used.
type use struct {
	account address
	nonce   uint64
}

// transfers is an application that verifies each signature once at each node and moves balances in memory. It asks for less than Openmesh does: no fees, no
// order of nonces (each is good once), no tree over the state, nothing on the disk.
type transfers struct {
	types.BaseApplication

	lock     sync.Mutex
	verified map[[32]byte]transfer
	moved    map[address]int64
	used     map[use]struct{}
	height   int64
	hash     [32]byte
}

func newTransfers() *transfers {
	return &transfers{
		verified: make(map[[32]byte]transfer),
		moved:    make(map[address]int64),
		used:     make(map[use]struct{}),
	}
}

// known verifies a transfer where it was not verified before.
func (app *transfers) known(tx []byte) (transfer, error) {
	name := sha256.Sum256(tx)
	app.lock.Lock()
	found, ok := app.verified[name]
	app.lock.Unlock()
	if ok {
		return found, nil
	}
	found, err := verify(tx)
	if err == nil {
		app.lock.Lock()
		app.verified[name] = found
		app.lock.Unlock()
	}
	return found, err
}

func (app *transfers) Info(context.Context, *types.RequestInfo) (*types.ResponseInfo, error) {
	app.lock.Lock()
	defer app.lock.Unlock()
	if app.height == 0 {
		return &types.ResponseInfo{}, nil
	}
	return &types.ResponseInfo{LastBlockHeight: app.height, LastBlockAppHash: append([]byte(nil), app.hash[:]...)}, nil
}

func (app *transfers) CheckTx(_ context.Context, request *types.RequestCheckTx) (*types.ResponseCheckTx, error) {
	if _, err := app.known(request.Tx); err != nil {
		return &types.ResponseCheckTx{Code: codeRefused, Log: err.Error()}, nil
	}
	return &types.ResponseCheckTx{Code: types.CodeTypeOK, GasWanted: 1}, nil
}

func (app *transfers) ProcessProposal(
	_ context.Context, request *types.RequestProcessProposal,
) (*types.ResponseProcessProposal, error) {
	for _, tx := range request.Txs {
		if _, err := app.known(tx); err != nil {
			return &types.ResponseProcessProposal{Status: types.ResponseProcessProposal_REJECT}, nil
		}
	}
	return &types.ResponseProcessProposal{Status: types.ResponseProcessProposal_ACCEPT}, nil
}

func (app *transfers) FinalizeBlock(
	_ context.Context, request *types.RequestFinalizeBlock,
) (*types.ResponseFinalizeBlock, error) {
	results := make([]*types.ExecTxResult, len(request.Txs))
	hash := sha256.New()
	hash.Write(app.hash[:])
	for index, tx := range request.Txs {
		code := uint32(codeRefused)
		if found, err := app.known(tx); err == nil {
			code = app.execute(found)
		}
		results[index] = &types.ExecTxResult{Code: code}
		name := sha256.Sum256(tx)
		hash.Write(append(name[:], byte(code)))
		app.lock.Lock()
		delete(app.verified, name)
		app.lock.Unlock()
	}
	app.lock.Lock()
	defer app.lock.Unlock()
	app.height = request.Height
	hash.Sum(app.hash[:0])
	return &types.ResponseFinalizeBlock{TxResults: results, AppHash: append([]byte(nil), app.hash[:]...)}, nil
}

// execute moves the amount; only consensus calls it, one block after the other.
func (app *transfers) execute(found transfer) uint32 {
	once := use{found.from, found.nonce}
	if _, ok := app.used[once]; ok {
		return codeUsed
	}
	if found.amount > balanceAtFirst || app.moved[found.from]+balanceAtFirst < int64(found.amount) {
		return codeSpent
	}
	app.used[once] = struct{}{}
	app.moved[found.from] -= int64(found.amount)
	app.moved[found.to] += int64(found.amount)
	return types.CodeTypeOK
}
