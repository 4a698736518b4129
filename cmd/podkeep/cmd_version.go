package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	versions "k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/config/install"
	"github.com/podkeep/podkeep/internal/version"
)

func newVersionCommand(s *session) *cobra.Command {
	var clientOnly bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:               "version",
		Short:             "Print the versions of client and server",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := printClientVersion(cmd.OutOrStdout()); err != nil || clientOnly {
				return err
			}
			return s.printServerVersion(cmd, timeout)
		},
	}
	cmd.Flags().BoolVar(&clientOnly, "client-only", false, "do not ask the cluster")
	cmd.Flags().DurationVar(&timeout, "timeout", statusTimeout, "how long to wait for the server")
	return cmd
}

func printClientVersion(w io.Writer) error {
	_, err := fmt.Fprintf(w, "Client:\n\tVersion: %s\n\tGit commit: %s\n", version.Version, gitCommit())
	return err
}

// gitCommit is what the Go tool has recorded; "-" when it was not built in a
// checkout.
func gitCommit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "-"
}

// printServerVersion is no failure when there is no server: the client's version
// was asked for too, and is printed.
func (s *session) printServerVersion(cmd *cobra.Command, timeout time.Duration) error {
	server, err := s.serverVersion(cmd.Context(), timeout)
	if err != nil {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "<error getting server version: %s>\n", err)
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "Server:\n\tVersion: %s\n%s", server, versionWarning(version.Version, server))
	return err
}

func (s *session) serverVersion(ctx context.Context, timeout time.Duration) (string, error) {
	t, err := s.open()
	if err != nil {
		return "", err
	}
	// Nobody answers where there is no server; to know that takes no time.
	if err := t.hasServer(ctx); err != nil {
		return "", err
	}
	status, err := s.serverStatus(ctx, t, timeout)
	if err != nil {
		return "", err
	}
	return status.Status.ServerVersion, nil
}

// hasServer returns an error when it is sure that there is no server. People who
// may not read Deployments find out by asking the server.
func (t cluster) hasServer(ctx context.Context) error {
	err := t.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: install.ServerName}, &appsv1.Deployment{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("there is no server in namespace %s; %s", t.namespace,
			t.elsewhereOr(ctx, "install podkeep with: "+t.program+" install"))
	}
	if apierrors.IsForbidden(err) {
		return nil
	}
	return t.explain(ctx, err, backups, "")
}

// versionOfBuilds is the version of a program that was built without one.
const versionOfBuilds = "dev"

// versionWarning is Velero's, which compares the first two numbers. It is empty
// when a version is not known.
func versionWarning(ours, theirs string) string {
	if ours == theirs || ours == versionOfBuilds || theirs == versionOfBuilds {
		return ""
	}
	c, err := versions.ParseGeneric(ours)
	if err != nil {
		return ""
	}
	s, err := versions.ParseGeneric(theirs)
	if err != nil || c.Major() == s.Major() && c.Minor() == s.Minor() {
		return ""
	}
	old := "client"
	if s.LessThan(c) {
		old = "server"
	}
	return "# WARNING: the client version does not match the server version. Please update " + old + "\n"
}
