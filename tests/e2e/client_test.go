package e2e

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/podkeep/podkeep/tests/suite"
)

func TestClientTellsTheWholeStory(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "client")
	c.Apply(t, suite.Pod(ns, "app"))
	dir := c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data")
	g.Expect(os.WriteFile(filepath.Join(dir, "sentinel"), []byte("the data is here\n"), 0o600)).To(Succeed())
	target := ns + "-copy"
	c.CleanNamespace(t, target)
	podkeep := func(args ...string) string {
		t.Helper()
		out, err := c.Podkeep(suite.Namespace, args...)
		g.Expect(err).NotTo(HaveOccurred(), out)
		return out
	}

	g.Expect(podkeep("backup", "create", ns, "--include-namespaces", ns, "--wait")).To(And(
		ContainSubstring("Completed"), ContainSubstring(ns+"/app")))
	g.Expect(podkeep("backup", "get", ns)).To(And(ContainSubstring("NAME"), ContainSubstring("Completed")))
	g.Expect(podkeep("backup", "describe", ns, "--details")).To(ContainSubstring(ns + "/app: data"))
	g.Expect(podkeep("backup", "get", ns, "-o", "json")).To(ContainSubstring(`"kind": "Backup"`))
	g.Expect(podkeep("restore", "create", ns, "--from-backup", ns, "--namespace-mappings", ns+":"+target, "--wait")).To(ContainSubstring("Completed"))
	g.Expect(podkeep("restore", "describe", ns, "--details")).To(ContainSubstring(target + "/app: data"))
	g.Expect(podkeep("backup-location", "get")).To(ContainSubstring("Available"))
	g.Expect(podkeep("repo", "get")).To(And(ContainSubstring(ns+"-default-kopia"), ContainSubstring("Ready")))
	g.Expect(podkeep("version")).To(ContainSubstring("Server:"))

	out, err := c.Podkeep(suite.Namespace, "backup", "describe", "no-such")
	g.Expect(err).To(HaveOccurred())
	g.Expect(out).To(And(ContainSubstring(`"no-such"`), ContainSubstring("podkeep backup get")), "the error names the next step")
}
