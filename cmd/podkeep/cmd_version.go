package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/config/install"
	"github.com/podkeep/podkeep/internal/version"
)

func newVersionCommand(s *session) *cobra.Command {
	var clientOnly bool
	cmd := &cobra.Command{
		Use:               "version",
		Short:             "Print the versions of client and server",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := printClientVersion(cmd.OutOrStdout()); err != nil || clientOnly {
				return err
			}
			return s.printServerVersion(cmd)
		},
	}
	cmd.Flags().BoolVar(&clientOnly, "client-only", false, "do not ask the cluster")
	return cmd
}

func printClientVersion(w io.Writer) error {
	text := "Client:\n\tVersion: " + version.Version + "\n"
	if commit := gitCommit(); commit != "" {
		text += "\tGit commit: " + commit + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

// gitCommit is what the Go tool has recorded; "" when it was not built in a
// checkout.
func gitCommit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

// printServerVersion is no failure when there is no server: the client's version
// was asked for too, and is printed.
func (s *session) printServerVersion(cmd *cobra.Command) error {
	t, err := s.open()
	if err == nil {
		var image string
		if image, err = t.serverImage(cmd.Context()); err == nil {
			return printServer(cmd.OutOrStdout(), image)
		}
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "<error getting server version: %s>\n", err)
	return err
}

func printServer(w io.Writer, image string) error {
	server := imageVersion(image)
	_, err := fmt.Fprintf(w, "Server:\n\tVersion: %s\n\tImage: %s\n%s", server, image, versionWarning(version.Version, server))
	return err
}

// versionWarning is empty unless both versions are known and differ.
func versionWarning(client, server string) string {
	if client == server || client == versionOfBuilds || server == unknownVersion {
		return ""
	}
	return "# WARNING: client and server have different versions. Update the server with: podkeep install\n"
}

// serverImage is the image of the server of this installation.
func (t cluster) serverImage(ctx context.Context) (string, error) {
	d := &appsv1.Deployment{}
	err := t.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: install.ServerName}, d)
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("there is no server in namespace %s; %s", t.namespace,
			t.elsewhereOr(ctx, "install podkeep with: podkeep install"))
	}
	if err != nil {
		return "", t.explain(ctx, err, backups, "")
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		if c.Name == install.ServerName || len(d.Spec.Template.Spec.Containers) == 1 {
			return c.Image, nil
		}
	}
	return "", fmt.Errorf("deployment %s in namespace %s has no container %s", install.ServerName, t.namespace, install.ServerName)
}

// versionOfBuilds is the version of a client that was built without one.
const versionOfBuilds = "dev"

// unknownVersion is the version of an image that is named without one.
const unknownVersion = "unknown"

// imageVersion is the tag of an image.
func imageVersion(image string) string {
	name, _, _ := strings.Cut(image, "@")
	i := strings.LastIndexByte(name, ':')
	// A colon before the last slash belongs to the port of a registry.
	if i < 0 || i < strings.LastIndexByte(name, '/') {
		return unknownVersion
	}
	return name[i+1:]
}
