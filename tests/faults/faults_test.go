// Package faults breaks what podkeep depends on, in the middle of its work, and
// expects a clear end and a next try that succeeds.
//
// The tests share the cluster's storage and components, so they run one after
// another.
package faults

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// bigBytes takes some seconds to move, long enough to break something meanwhile.
const bigBytes = 400 << 20

// bigApp is a pod whose volume holds one large file.
type bigApp struct {
	namespace string
	pod       corev1.Pod
	want      []suite.Entry
}

func newBigApp(t *testing.T, c *suite.Cluster) bigApp {
	t.Helper()
	g := NewWithT(t)
	a := bigApp{namespace: c.NewNamespace(t, "fault")}
	c.Apply(t, suite.Pod(a.namespace, "app"))
	a.pod = c.RunningPods(t, a.namespace, "app", 1)[0]
	dir := c.EmptyDir(a.pod, "data")
	g.Expect(os.WriteFile(filepath.Join(dir, "sentinel"), []byte("the data is here\n"), 0o644)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, "big"), suite.Random(9, bigBytes), 0o644)).To(Succeed())
	var err error
	a.want, err = suite.ReadTree(dir)
	g.Expect(err).NotTo(HaveOccurred())
	return a
}

// expectRestored checks the application that a restore made in a namespace.
func (a bigApp) expectRestored(t *testing.T, c *suite.Cluster, ns string) {
	t.Helper()
	g := NewWithT(t)
	pod := c.RunningPods(t, ns, "app", 1)[0]
	got, err := suite.ReadTree(c.EmptyDir(pod, "data"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(Equal(a.want))
	g.Expect(c.FirstLog(t, pod, "app")).To(Equal("at start: the data is here"))
}

// restoreCopy restores a backup into a namespace of its own.
func (a bigApp) restoreCopy(t *testing.T, c *suite.Cluster, b *velerov1.Backup) (*velerov1.Restore, string) {
	t.Helper()
	r := suite.NewRestore(b, "")
	target := r.Name
	r.Spec.NamespaceMapping = map[string]string{a.namespace: target}
	c.CleanNamespace(t, target)
	c.Apply(t, r)
	return r, target
}

// waitBackupMoves returns when the volume of a backup is being read.
func waitBackupMoves(t *testing.T, c *suite.Cluster, b *velerov1.Backup) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(b), b)).To(Succeed())
		g.Expect(b.IsFinished()).To(BeFalse(), "the backup ended before it could be disturbed: %+v", b.Status)
		volumes := c.VolumeBackups(t, b)
		g.Expect(volumes).To(HaveLen(1))
		for _, v := range volumes {
			g.Expect(v.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseInProgress))
			g.Expect(v.Status.Progress.BytesDone).To(BeNumerically(">", 0))
		}
	}, suite.Long, "50ms").Should(Succeed())
}

// waitRestoreMoves returns when the volume of a restore is being written.
func waitRestoreMoves(t *testing.T, c *suite.Cluster, r *velerov1.Restore) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r)).To(Succeed())
		g.Expect(r.IsFinished()).To(BeFalse(), "the restore ended before it could be disturbed: %+v", r.Status)
		volumes := c.VolumeRestores(t, r)
		g.Expect(volumes).To(HaveLen(1))
		for _, v := range volumes {
			g.Expect(v.Status.Phase).To(Equal(velerov1.PodVolumeRestorePhaseInProgress))
		}
	}, suite.Long, "50ms").Should(Succeed())
}

// kill sends SIGKILL to a role of podkeep. The cluster's processes are visible
// from this machine.
func kill(t *testing.T, role string) {
	t.Helper()
	err := exec.Command("pkill", "-KILL", "-f", "^/podkeep "+role).Run()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), "no process of role "+role)
}

func TestComponentKilledDuringBackup(t *testing.T) {
	for _, role := range []string{"node-agent", "server", "mover"} {
		t.Run(role, func(t *testing.T) {
			c := suite.Connect(t)
			g := NewWithT(t)
			a := newBigApp(t, c)
			b := suite.NewBackup(a.namespace)
			c.Apply(t, b)
			waitBackupMoves(t, c, b)

			kill(t, role)

			c.FinishedBackup(t, b)
			g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
			r, target := a.restoreCopy(t, c, b)
			c.FinishedRestore(t, r)
			g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
			a.expectRestored(t, c, target)
		})
	}
}

func TestComponentKilledDuringRestore(t *testing.T) {
	c := suite.Connect(t)
	a := newBigApp(t, c)
	b := c.RunBackup(t, suite.NewBackup(a.namespace))
	NewWithT(t).Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	for _, role := range []string{"node-agent", "server", "mover"} {
		t.Run(role, func(t *testing.T) {
			g := NewWithT(t)
			r, target := a.restoreCopy(t, c, b)
			waitRestoreMoves(t, c, r)

			kill(t, role)

			c.FinishedRestore(t, r)
			g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
			a.expectRestored(t, c, target)
		})
	}
}

func TestVolumeFolderGone(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "fault")
	c.Apply(t, suite.Pod(ns, "app"))
	pod := c.RunningPods(t, ns, "app", 1)[0]
	dir := c.EmptyDir(pod, "data")
	g.Expect(os.Rename(dir, dir+".away")).To(Succeed())
	t.Cleanup(func() {
		if err := os.Rename(dir+".away", dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})

	b := c.RunBackup(t, suite.NewBackup(ns))

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed), "%+v", b.Status)
	v := c.VolumeBackups(t, b)[ns+"/app/data"]
	g.Expect(v.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseFailed))
	g.Expect(v.Status.Message).To(And(ContainSubstring(ns+"/app"), ContainSubstring("data")))
	g.Expect(os.Rename(dir+".away", dir)).To(Succeed())
	next := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(next.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", next.Status)
}
