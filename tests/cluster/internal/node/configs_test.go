package node

import (
	"os"
	"strings"
	"testing"

	"github.com/podkeep/podkeep/tests/cluster"
)

func TestConfigsAreFilledIn(t *testing.T) {
	state := cluster.StateDir(t.TempDir())
	if err := writeConfigs(state); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"kubelet.yaml":            "cgroupRoot: \"/" + cluster.CgroupRoot + "\"",
		"containerd.toml":         "sandbox = \"" + cluster.PauseImage + "\"",
		"cni/10-podkeep.conflist": "\"subnet\": \"" + cluster.NodePodRange + "\"",
	} {
		content, err := os.ReadFile(state.Config(file))
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(content), want) {
			t.Errorf("%s does not have %s:\n%s", file, want, content)
		}
	}
}

func TestEveryComponentHasArguments(t *testing.T) {
	for _, name := range Components() {
		if len(arguments(name, "/state")) == 0 {
			t.Errorf("%s is started without arguments", name)
		}
	}
}
