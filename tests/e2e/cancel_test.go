package e2e

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

func TestVolumeBackupIsCanceled(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "cancel")
	c.Apply(t, suite.Pod(ns, "app"))
	dir := c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data")
	g.Expect(os.WriteFile(filepath.Join(dir, "big"), suite.Random(5, 400<<20), 0o600)).To(Succeed())
	b := suite.NewBackup(ns)
	c.Apply(t, b)
	var volume velerov1.PodVolumeBackup
	g.Eventually(func(g Gomega) {
		volume = c.VolumeBackups(t, b)[ns+"/app/data"]
		g.Expect(volume.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseInProgress))
	}, suite.Long, "50ms").Should(Succeed())

	before := volume.DeepCopy()
	volume.Spec.Cancel = true
	g.Expect(c.Client.Patch(t.Context(), &volume, client.MergeFrom(before))).To(Succeed())

	c.FinishedBackup(t, b)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed), "%+v", b.Status)
	g.Expect(c.VolumeBackups(t, b)[ns+"/app/data"].Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseCanceled))
	g.Eventually(func() error {
		return c.Client.Get(t.Context(), client.ObjectKey{Namespace: suite.Namespace, Name: volume.Name}, &corev1.Pod{})
	}, suite.Short).ShouldNot(Succeed(), "nothing is left running")
}
