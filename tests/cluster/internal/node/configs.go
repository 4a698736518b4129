package node

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/podkeep/podkeep/tests/cluster"
)

//go:embed templates/kubelet.yaml
var kubeletTemplate string

//go:embed templates/containerd.toml
var containerdTemplate string

// The links are of type ptp, one per pod, and not a bridge: on a bridge the
// answer of a pod to another one that asked through a Service would pass by the
// node's connection tracking, unless the kernel module br_netfilter is loaded.
//
//go:embed templates/cni.conflist
var cniTemplate string

// facts are what the templates mention.
type facts struct {
	State, CNIConfig, Socket, PauseImage string
	CgroupRoot, NodePodRange             string
	QPS, Burst                           int
}

// writeConfigs writes the configuration files of the components that have one.
func writeConfigs(c Config) error {
	state := c.State
	f := facts{
		State:        string(state),
		CNIConfig:    state.Config("cni"),
		Socket:       cluster.ContainerdSocket,
		PauseImage:   cluster.PauseImage,
		CgroupRoot:   "/" + c.Node.CgroupRoot,
		NodePodRange: c.Node.PodRange,
		QPS:          qps,
		Burst:        burst,
	}
	for path, text := range map[string]string{
		"kubelet.yaml":            kubeletTemplate,
		"containerd.toml":         containerdTemplate,
		"cni/10-podkeep.conflist": cniTemplate,
	} {
		if err := writeConfig(state.Config(path), text, f); err != nil {
			return fmt.Errorf("writing configuration file %s: %w", path, err)
		}
	}
	return nil
}

func writeConfig(path, text string, f facts) error {
	parsed, err := template.New(filepath.Base(path)).Option("missingkey=error").Parse(text)
	if err != nil {
		return err
	}
	var out strings.Builder
	if err := parsed.Execute(&out, f); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(out.String()), 0o644)
}
