package e2e

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// caller runs podkeep's client and expects that it succeeds.
type caller func(args ...string) string

func newCaller(t *testing.T, c *suite.Cluster) caller {
	t.Helper()
	return func(args ...string) string {
		t.Helper()
		out, err := c.Podkeep(suite.Namespace, args...)
		NewWithT(t).Expect(err).NotTo(HaveOccurred(), out)
		return out
	}
}

// newApp is a namespace with a pod whose volume holds a file of a size.
func newApp(t *testing.T, c *suite.Cluster, size int) string {
	t.Helper()
	g := NewWithT(t)
	ns := c.NewNamespace(t, "cli")
	c.Apply(t, suite.Pod(ns, "app"))
	dir := c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data")
	g.Expect(os.WriteFile(filepath.Join(dir, "file"), suite.Random(7, size), 0o600)).To(Succeed())
	return ns
}

func TestClientReadsWhatIsStored(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g, podkeep := NewWithT(t), newCaller(t, c)
	ns := newApp(t, c, 1<<10)
	archive := filepath.Join(t.TempDir(), "shop.tar.gz")
	bundle := filepath.Join(t.TempDir(), "bundle.tar.gz")
	target := ns + "-copy"
	c.CleanNamespace(t, target)

	podkeep("backup", "create", ns, "--include-namespaces", ns, "--wait")
	podkeep("restore", "create", ns, "--from-backup", ns, "--namespace-mappings", ns+":"+target, "--wait")

	g.Expect(podkeep("backup", "logs", ns)).To(ContainSubstring(ns))
	g.Expect(podkeep("restore", "logs", ns)).To(ContainSubstring(ns))
	g.Expect(podkeep("backup", "describe", ns, "--details")).To(And(
		ContainSubstring("Resource List:"), ContainSubstring("- "+ns+"/app\n"), ContainSubstring(ns+"/app: data (size: 1024"),
		ContainSubstring("CSI Snapshots: <none included>"), Not(ContainSubstring("<error"))))
	g.Expect(podkeep("restore", "describe", ns, "--details")).To(And(ContainSubstring("- "+target+"/app(created)\n"), Not(ContainSubstring("<error"))))
	podkeep("backup", "download", ns, "-o", archive)
	g.Expect(entries(t, archive)).To(ContainElement("resources/pods/namespaces/" + ns + "/app.json"))
	podkeep("debug", "--output", bundle, "--backup", ns, "--restore", ns)
	g.Expect(entries(t, bundle)).To(And(ContainElement("velero-bundle/objects/podvolumebackups.json"), ContainElement("velero-bundle/backup_"+ns+".log"),
		ContainElement(HavePrefix("velero-bundle/logs/velero-")))) // and errors.txt, when a pod of another test goes meanwhile
	g.Expect(podkeep("version")).To(MatchRegexp(`Server:\n\tVersion: \S+`))
	g.Expect(podkeep("plugin", "get")).To(ContainSubstring("velero.io/pod-volume-restore"))

	podkeep("backup", "delete", ns, "--confirm")
	g.Eventually(func() bool {
		err := c.Client.Get(t.Context(), client.ObjectKey{Namespace: suite.Namespace, Name: ns}, &velerov1.Backup{})
		return apierrors.IsNotFound(err)
	}, suite.Short).Should(BeTrue(), "the backup is still there")
}

// entries are the names in a compressed tar file.
func entries(t *testing.T, file string) []string {
	t.Helper()
	g := NewWithT(t)
	f, err := os.Open(file)
	g.Expect(err).NotTo(HaveOccurred())
	defer f.Close()
	z, err := gzip.NewReader(f)
	g.Expect(err).NotTo(HaveOccurred())
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		g.Expect(err).NotTo(HaveOccurred())
		names = append(names, h.Name)
	}
}

func TestClientWorksWithSchedules(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g, podkeep := NewWithT(t), newCaller(t, c)
	ns := newApp(t, c, 1<<10)
	target := ns + "-copy"
	c.CleanNamespace(t, target)
	t.Cleanup(func() { podkeep("schedule", "delete", ns, "--confirm") })

	podkeep("schedule", "create", ns, "--schedule", "0 0 1 1 *", "--include-namespaces", ns)
	g.Eventually(func() string { return podkeep("schedule", "get", ns) }, suite.Short).Should(ContainSubstring("Enabled"))
	podkeep("schedule", "pause", ns)
	g.Expect(podkeep("schedule", "describe", ns)).To(ContainSubstring("Paused:  true"))
	podkeep("schedule", "unpause", ns)
	podkeep("backup", "create", "--from-schedule", ns, "--wait")

	g.Expect(podkeep("backup", "get", "-l", velerov1.ScheduleNameLabel+"="+ns)).To(ContainSubstring("Completed"))
	out := podkeep("restore", "create", "--from-schedule", ns, "--namespace-mappings", ns+":"+target, "--wait")
	g.Expect(out).To(ContainSubstring("Restore completed with status: Completed."))
}

func TestClientCancelsABackup(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g, podkeep := NewWithT(t), newCaller(t, c)
	ns := newApp(t, c, 400<<20)
	b := suite.NewBackup(ns)
	podkeep("backup", "create", b.Name, "--include-namespaces", ns)
	g.Eventually(func() velerov1.PodVolumeBackupPhase {
		return c.VolumeBackups(t, b)[ns+"/app/data"].Status.Phase
	}, suite.Long, "50ms").Should(Equal(velerov1.PodVolumeBackupPhaseInProgress))

	out := podkeep("backup", "cancel", b.Name, "--wait")

	g.Expect(out).To(ContainSubstring("Backup completed with status: Failed."))
	g.Expect(out).To(MatchRegexp(`Reason: +canceled by \S+`))
	g.Expect(c.VolumeBackups(t, b)[ns+"/app/data"].Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseCanceled))
	again, err := c.Podkeep(suite.Namespace, "backup", "cancel", b.Name)
	g.Expect(err).To(HaveOccurred())
	g.Expect(again).To(ContainSubstring("there is nothing to cancel"))
}

// TestKubectlPlugin calls the client as kubectl does, by links to it.
func TestKubectlPlugin(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	programs, err := filepath.Glob("/root/.cache/podkeep/cluster/*/bin/kubectl")
	g.Expect(err).NotTo(HaveOccurred())
	if len(programs) == 0 {
		t.Skip("the cluster's kubectl is not on this machine")
	}
	bin := t.TempDir()
	for _, name := range []string{"kubectl-podkeep", "kubectl_complete-podkeep"} {
		g.Expect(os.Symlink(suite.Binary(), filepath.Join(bin, name))).To(Succeed())
	}
	kubectl := func(args ...string) string {
		cmd := exec.Command(programs[0], args...)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "KUBECONFIG="+c.Kubeconfig)
		out, err := cmd.Output()
		g.Expect(err).NotTo(HaveOccurred(), string(out))
		return string(out)
	}

	g.Expect(kubectl("podkeep", "backup-location", "get")).To(ContainSubstring("default"))
	g.Expect(kubectl("podkeep", "backup", "create", "--help")).To(ContainSubstring("kubectl podkeep backup create"))
	g.Expect(strings.Split(kubectl("__complete", "podkeep", "backup-location", "get", ""), "\n")).To(ContainElement("default"))
}
