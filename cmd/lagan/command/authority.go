package command

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/transport/identity"
)

func (s *session) authority() *cobra.Command {
	c := &cobra.Command{Use: "ca", Short: "Make the certificates of a cluster"}
	c.AddCommand(s.authorityInit(), s.authorityIssue())
	return c
}

func (s *session) authorityInit() *cobra.Command {
	return &cobra.Command{
		Use: "init DIRECTORY", Short: "Make the authority of a new cluster", Args: exactly(1),
		RunE: func(_ *cobra.Command, arguments []string) error {
			dir := arguments[0]
			key := filepath.Join(dir, identity.AuthorityKeyFile)
			if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
				return errors.Join(fmt.Errorf("there is an authority in %s: use it, or choose another directory", dir), err)
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return fmt.Errorf("make the authority's directory: %w", err)
			}
			authority, err := identity.NewAuthority(time.Now())
			if err != nil {
				return err
			}
			if err := identity.SaveAuthority(dir, authority); err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.Out, "authority in %s: whoever reads %s can be any node\n", dir, key)
			return err
		},
	}
}

func (s *session) authorityIssue() *cobra.Command {
	var dir, out string
	var hosts []string
	c := &cobra.Command{
		Use: "issue", Short: "Make the key and certificate of a new node", Args: exactly(0),
		Example: "  lagan ca issue --ca ca --out node-a/tls --host 10.0.0.1",
		RunE: func(*cobra.Command, []string) error {
			if _, err := os.Stat(filepath.Join(out, identity.CertificateFile)); !errors.Is(err, fs.ErrNotExist) {
				return errors.Join(fmt.Errorf("there is a certificate in %s: use it, or choose another directory", out), err)
			}
			authority, err := identity.LoadAuthority(dir)
			if err != nil {
				return err
			}
			var node block.NodeID
			_, _ = rand.Read(node[:]) // never fails
			key, request, err := identity.NewKey()
			if err != nil {
				return err
			}
			certificate, err := authority.Issue(request, node, hosts, time.Now())
			if err != nil {
				return err
			}
			if err := os.MkdirAll(out, 0o700); err != nil {
				return fmt.Errorf("make the node's directory: %w", err)
			}
			if err := identity.Save(out, authority.Certificate(), certificate, key); err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.Out, "certificate of node %v in %s\n", node, out)
			return err
		},
	}
	c.Flags().StringVar(&dir, "ca", "", "directory of the authority")
	c.Flags().StringVar(&out, "out", "", "directory for the node's key and certificate")
	c.Flags().StringSliceVar(&hosts, "host", nil, "addresses and names at which the node is reached")
	_ = c.MarkFlagRequired("ca")  // the flag exists
	_ = c.MarkFlagRequired("out") // likewise
	return c
}
