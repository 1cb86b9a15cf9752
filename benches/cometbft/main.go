// CometBFT as its own program starts it, with one application more: transfers, which verifies the signatures that Openmesh verifies.
// Everything else, configuration too, is CometBFT's.
package main

import (
	"fmt"
	"os"

	commands "github.com/cometbft/cometbft/cmd/cometbft/commands"
	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/libs/cli"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
)

// Name of our application where CometBFT's configuration has that of one of its own.
const transfersName = "transfers"

func main() {
	root := commands.RootCmd
	root.AddCommand(
		commands.TestnetFilesCmd, commands.ShowNodeIDCmd, commands.VersionCmd, commands.NewRunNodeCmd(newNode),
	)
	if err := cli.PrepareBaseCmd(root, "CMT", os.TempDir()).Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// newNode is CometBFT's own way to make a node, but for the application.
func newNode(settings *config.Config, logger log.Logger) (*node.Node, error) {
	if settings.ProxyApp != transfersName {
		return node.DefaultNewNode(settings, logger)
	}
	key, err := p2p.LoadOrGenNodeKey(settings.NodeKeyFile())
	if err != nil {
		return nil, fmt.Errorf("the key of the node: %w", err)
	}
	return node.NewNode(
		settings,
		privval.LoadOrGenFilePV(settings.PrivValidatorKeyFile(), settings.PrivValidatorStateFile()),
		key,
		// The application has a lock of its own and holds it for its maps alone: signatures are verified on all of CometBFT's connections at once.
		proxy.NewConnSyncLocalClientCreator(newTransfers()),
		node.DefaultGenesisDocProviderFunc(settings),
		config.DefaultDBProvider,
		node.DefaultMetricsProvider(settings.Instrumentation),
		logger,
	)
}
