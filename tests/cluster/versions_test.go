package cluster

import (
	"strings"
	"testing"
)

func TestVersionIsThatOfModuleFile(t *testing.T) {
	file, err := Sources.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	staging := "v0" + strings.TrimPrefix(KubernetesVersion, "v1")
	for _, want := range []string{
		"k8s.io/kubernetes " + KubernetesVersion + "\n",
		"k8s.io/api => k8s.io/api " + staging + "\n",
	} {
		if !strings.Contains(string(file), want) {
			t.Errorf("go.mod does not have %q", want)
		}
	}
}
