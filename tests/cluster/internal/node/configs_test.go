package node

import (
	"os"
	"strings"
	"testing"

	"github.com/podkeep/podkeep/tests/cluster"
)

var bothNodes = []cluster.Node{cluster.First, cluster.Second}

func TestConfigsAreFilledIn(t *testing.T) {
	for _, n := range bothNodes {
		state := cluster.StateDir(t.TempDir())
		if err := writeConfigs(Config{State: state, Node: n}); err != nil {
			t.Fatal(err)
		}
		for file, want := range map[string]string{
			"kubelet.yaml":            "cgroupRoot: \"/" + n.CgroupRoot + "\"",
			"containerd.toml":         "sandbox = \"" + cluster.PauseImage + "\"",
			"cni/10-podkeep.conflist": "\"subnet\": \"" + n.PodRange + "\"",
		} {
			content, err := os.ReadFile(state.Config(file))
			if err != nil {
				t.Error(err)
			} else if !strings.Contains(string(content), want) {
				t.Errorf("%s does not have %s:\n%s", file, want, content)
			}
		}
	}
}

func TestEveryComponentHasArguments(t *testing.T) {
	for _, n := range bothNodes {
		for _, name := range Components(n) {
			if len(arguments(name, Config{State: "/state", Node: n})) == 0 {
				t.Errorf("%s of %s is started without arguments", name, n.Name)
			}
		}
	}
}
