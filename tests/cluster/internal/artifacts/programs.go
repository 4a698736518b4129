package artifacts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/podkeep/podkeep/tests/cluster"
	"github.com/podkeep/podkeep/tests/cluster/internal/command"
	"github.com/podkeep/podkeep/tests/cluster/internal/progress"
)

// roles are the names that the Kubernetes binary is called by.
var roles = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet",
}

// published are the programs that need nothing of this module.
var published = []string{
	"github.com/containerd/containerd/v2/cmd/containerd@" + cluster.ContainerdVersion,
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2@" + cluster.ContainerdVersion,
	"github.com/containerd/containerd/v2/cmd/ctr@" + cluster.ContainerdVersion,
	"github.com/versity/versitygw/cmd/versitygw@" + cluster.VersityGWVersion,
}

func buildPrograms(ctx context.Context, bin string, out *progress.Printer) error {
	source, err := sourceDir()
	if err != nil {
		return err
	}
	for _, program := range published {
		out.Printf("building %s", program)
		install := goCommand("install", program)
		install.Env = append(install.Env, "GOBIN="+bin)
		// Outside any module, so that go.mod here does not matter.
		install.Dir = bin
		if err := install.Run(ctx); err != nil {
			return err
		}
	}
	out.Printf("building Kubernetes %s (8 minutes the first time)", cluster.KubernetesVersion)
	for _, pkg := range []string{"./kubernetes", "./cmd/provisioner", "./cmd/pause"} {
		build := goCommand("build", "-ldflags", kubernetesLinkFlags(), "-o", filepath.Join(bin, filepath.Base(pkg)), pkg)
		build.Dir = source
		if err := build.Run(ctx); err != nil {
			return err
		}
	}
	for _, role := range roles {
		if err := os.Symlink("kubernetes", filepath.Join(bin, role)); err != nil {
			return fmt.Errorf("linking %s: %w", role, err)
		}
	}
	return nil
}

// goCommand is one invocation of the go tool: static programs, and at a lower
// priority, as the build takes every core for minutes.
func goCommand(verb string, args ...string) command.Command {
	return command.Command{
		Env:  []string{"CGO_ENABLED=0", "GOFLAGS=-trimpath"},
		Args: append([]string{"nice", "-n", "5", "go", verb}, args...),
	}
}

// kubernetesLinkFlags puts the version in that Kubernetes' own build puts in.
// Without it the API server calls itself v0.0.0, which clients refuse.
func kubernetesLinkFlags() string {
	parts := strings.Split(strings.TrimPrefix(cluster.KubernetesVersion, "v"), ".")
	flags := []string{"-s", "-w"}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags,
			"-X", pkg+".gitVersion="+cluster.KubernetesVersion,
			"-X", pkg+".gitMajor="+parts[0],
			"-X", pkg+".gitMinor="+parts[1],
			"-X", pkg+".gitTreeState=clean",
		)
	}
	return strings.Join(flags, " ")
}
