package main

import (
	"context"
	"encoding/hex"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/cometbft/cometbft/abci/types"
)

// A transfer that Openmesh's tests read as well, and its signer.
func signed(t *testing.T) ([]byte, string) {
	t.Helper()
	text, err := os.ReadFile("transfer.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(text))
	tx, err := hex.DecodeString(lines[0])
	if err != nil {
		t.Fatal(err)
	}
	return tx, strings.TrimPrefix(lines[1], "0x")
}

func TestTheSignerIsTheOneOfOpenmesh(t *testing.T) {
	tx, signer := signed(t)
	found, err := verify(tx)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(found.from[:]); got != signer || found.nonce != 3 || found.amount != 1 {
		t.Fatalf("%s signed nonce %d, amount %d; %s, 3, 1 expected", got, found.nonce, found.amount, signer)
	}
}

func TestAForgedTransferIsRefused(t *testing.T) {
	order, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
	forgeries := map[string]func(tx []byte){
		"no signature": func(tx []byte) { copy(tx[86:118], make([]byte, 32)) },
		"another v":    func(tx []byte) { tx[150] = 29 },
		"high s": func(tx []byte) {
			new(big.Int).Sub(order, new(big.Int).SetBytes(tx[118:150])).FillBytes(tx[118:150])
			tx[150] = 27 + 28 - tx[150]
		},
		"another class": func(tx []byte) { tx[0] = 1 },
	}
	for name, forge := range forgeries {
		tx, _ := signed(t)
		forge(tx)
		answer, err := newTransfers().CheckTx(context.Background(), &types.RequestCheckTx{Tx: tx})
		if err != nil || answer.Code != codeRefused {
			t.Errorf("%s: %v, %v", name, answer, err)
		}
	}
}

func TestATransferTakesEffectOnce(t *testing.T) {
	tx, _ := signed(t)
	app := newTransfers()
	block := &types.RequestFinalizeBlock{Txs: [][]byte{tx, tx}, Height: 1}
	answer, err := app.FinalizeBlock(context.Background(), block)
	if err != nil || answer.TxResults[0].Code != types.CodeTypeOK || answer.TxResults[1].Code != codeUsed {
		t.Fatalf("%v, %v", answer, err)
	}
	info, err := app.Info(context.Background(), &types.RequestInfo{})
	if err != nil || info.LastBlockHeight != 1 || hex.EncodeToString(info.LastBlockAppHash) != hex.EncodeToString(answer.AppHash) {
		t.Fatalf("%v, %v", info, err)
	}
}
