package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/content"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/repository"
	"github.com/podkeep/podkeep/tests/suite"
)

// zeros is the beginning of the names of files that take long to read and no room.
const zeros = "zeros-"

// writeZeros writes n files that are one hole each.
func writeZeros(t *testing.T, dir string, n int, size int64) {
	t.Helper()
	for i := range n {
		file := filepath.Join(dir, fmt.Sprintf("%s%d", zeros, i))
		NewWithT(t).Expect(os.WriteFile(file, nil, 0o600)).To(Succeed())
		NewWithT(t).Expect(os.Truncate(file, size)).To(Succeed())
	}
}

// allocated is how many bytes of the disk the files have that writeZeros wrote.
func allocated(t *testing.T, dir string) (total int64) {
	t.Helper()
	g := NewWithT(t)
	files, err := filepath.Glob(filepath.Join(dir, zeros+"*"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(files).NotTo(BeEmpty())
	for _, file := range files {
		var st syscall.Stat_t
		g.Expect(syscall.Stat(file, &st)).To(Succeed())
		total += st.Blocks * 512
	}
	return total
}

// TestUploaderSettingsTakeEffect sets what spec.uploaderConfig of a backup and of
// a restore offers, and looks at the movers' processes and at the disk.
func TestUploaderSettingsTakeEffect(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	const files, size, atOnce = 8, 48 << 20, 3 // one per processor is the default
	ns := c.NewNamespace(t, "tuned")
	c.Apply(t, suite.Pod(ns, "app"))
	dir := c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data")
	writeZeros(t, dir, files, size)
	want := readTree(g, dir)
	b := suite.NewBackup(ns)
	b.Spec.UploaderConfig = &velerov1.UploaderConfigForBackup{ParallelFilesUpload: atOnce}

	uploader := suite.WatchMover(t, wire.KindBackup, ns, zeros)
	c.RunBackup(t, b)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	uploaded := uploader()
	g.Expect(uploaded.Task.Backup.ParallelFiles).To(Equal(atOnce))
	g.Expect(uploaded.MostOpen).To(Equal(atOnce))

	restored := func(config *velerov1.UploaderConfigForRestore) (suite.MoverSight, string) {
		r := suite.NewRestore(b, "")
		r.Spec.NamespaceMapping = map[string]string{ns: r.Name}
		r.Spec.UploaderConfig = config
		c.CleanNamespace(t, r.Name)
		downloader := suite.WatchMover(t, wire.KindRestore, ns, zeros)
		c.RunRestore(t, r)
		g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
		return downloader(), c.EmptyDir(c.RunningPods(t, r.Name, "app", 1)[0], "data")
	}
	tuned, target := restored(&velerov1.UploaderConfigForRestore{WriteSparseFiles: ptr.To(true), ParallelFilesDownload: atOnce})
	g.Expect(readTree(g, target)).To(Equal(want))
	g.Expect(tuned.Task.Restore.ParallelFiles).To(Equal(atOnce))
	g.Expect(tuned.MostOpen).To(Equal(atOnce))
	g.Expect(allocated(t, target)).To(BeNumerically("<", size/8), "holes stay holes")

	plain, target := restored(nil)
	g.Expect(readTree(g, target)).To(Equal(want))
	g.Expect(plain.Task.Restore.SparseFiles).To(BeFalse())
	g.Expect(allocated(t, target)).To(BeNumerically(">=", files*size), "without the setting zeros are written")
}

// tunedNamespace is an installation whose node agents have settings.
const tunedNamespace = "velero-tuned"

func agentSettings(json string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: tunedNamespace, Name: "node-agent-settings"},
		Data:       map[string]string{"settings.json": json},
	}
}

// installTuned installs podkeep with settings of the node agents, and returns the
// folder of its repositories.
func installTuned(t *testing.T, c *suite.Cluster, settings *corev1.ConfigMap) string {
	t.Helper()
	c.PrepareInstall(t, tunedNamespace, "a password")
	priority := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: tunedNamespace}, Value: 1000}
	c.Apply(t, settings, priority)
	t.Cleanup(func() { c.Remove(t, priority) })
	c.FinishInstall(t, tunedNamespace, "--node-agent-configmap", settings.Name,
		"--provider", "filesystem", "--backup-location-config", "fspath=/backups,hostPath=/srv/s3/tuned")
	return filepath.Join(c.StateDir, "s3", "tuned")
}

// TestNodeAgentSettingsTakeEffect runs an installation of its own.
func TestNodeAgentSettingsTakeEffect(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	settings := agentSettings(`{
		"loadConcurrency": {"globalConfig": 4, "prepareQueueLength": 1, "perNodeConfig": [
			{"nodeSelector": {"matchLabels": {"kubernetes.io/hostname": "` + suite.FirstNode + `"}}, "number": 2},
			{"nodeSelector": {"matchLabels": {"kubernetes.io/hostname": "another"}}, "number": 1}]},
		"compression": "zstd", "priorityClassName": "` + tunedNamespace + `",
		"podLabels": {"team": "backup"}, "podAnnotations": {"note": "tuned"}, "podResources": {"cpuRequest": "11m", "memoryLimit": "2Gi"}}`)
	folder := installTuned(t, c, settings)

	movers := crowd{cluster: c, volumes: []string{"a", "b", "c", "d"}, size: 300 << 20, slots: 2, queue: 1}.expect(t)

	for _, m := range movers {
		g := NewWithT(t)
		g.Expect(m.Labels).To(HaveKeyWithValue("team", "backup"))
		g.Expect(m.Annotations).To(HaveKeyWithValue("note", "tuned"))
		g.Expect(m.Spec.PriorityClassName).To(Equal(tunedNamespace))
		g.Expect(m.Spec.Containers[0].Resources.Requests.Cpu().String()).To(Equal("11m"))
		g.Expect(m.Spec.Containers[0].Resources.Limits.Memory().String()).To(Equal("2Gi"))
	}
	expectCompressed(t, c, folder)

	// Settings are read at start. A restart is all that a change needs.
	before := settings.DeepCopy()
	settings.Data["settings.json"] = `{"loadConcurrency": {"globalConfig": 1, "prepareQueueLength": 2}}`
	NewWithT(t).Expect(c.Client.Patch(t.Context(), settings, client.MergeFrom(before))).To(Succeed())
	restartAgents(t, c, tunedNamespace)
	// The second restart is while a mover moves: its slot is still taken.
	crowd{cluster: c, volumes: []string{"a", "b"}, size: 1 << 30, slots: 1, queue: 2, meanwhile: func() { restartAgents(t, c, tunedNamespace) }}.expect(t)
}

// podWithVolumes has emptyDir volumes that are all backed up.
func podWithVolumes(ns, name string, volumes ...string) *corev1.Pod {
	pod := suite.Pod(ns, name)
	pod.Annotations[velerov1.VolumesToBackupAnnotation] = strings.Join(volumes, ",")
	for _, v := range volumes {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: v, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
		pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: v, MountPath: "/" + v})
	}
	return pod
}

// crowd is a pod with more volumes than may move at once.
type crowd struct {
	cluster *suite.Cluster
	volumes []string
	size    int64 // of the file in each

	slots, queue int    // what the node agent is set to
	meanwhile    func() // what is done while the slots are taken; nil is nothing
}

// expect backs the pod up, and returns the movers that there are while the slots
// are taken.
func (w crowd) expect(t *testing.T) []corev1.Pod {
	t.Helper()
	c, g := w.cluster, NewWithT(t)
	ns := c.NewNamespace(t, "tuned")
	c.Apply(t, podWithVolumes(ns, "app", w.volumes...))
	pod := c.RunningPods(t, ns, "app", 1)[0]
	for _, v := range w.volumes {
		writeZeros(t, c.EmptyDir(pod, v), 1, w.size)
	}
	b := suite.NewBackup(ns)
	b.Namespace = tunedNamespace
	c.Apply(t, b)
	var movers []corev1.Pod
	g.Eventually(func(g Gomega) {
		active, finished := volumesMoving(t, c, b)
		g.Expect(finished).To(BeZero(), "a volume was done before the slots were taken")
		g.Expect(active).To(Equal(w.slots))
		movers = moverPods(t, c, b)
	}, suite.Long, "20ms").Should(Succeed())
	g.Expect(movers).To(HaveLen(min(w.slots+w.queue, len(w.volumes))))

	if w.meanwhile != nil {
		w.meanwhile()
	}
	most := 0
	g.Eventually(func(g Gomega) {
		active, finished := volumesMoving(t, c, b)
		most = max(most, active)
		g.Expect(finished).To(Equal(len(w.volumes)))
	}, suite.Long, "20ms").Should(Succeed())
	g.Expect(most).To(Equal(w.slots), "no more volumes move at once than there are slots")
	c.FinishedBackup(t, b)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	return movers
}

// volumesMoving counts the volumes of a backup in the tuned installation that are
// being read, and those that are done.
func volumesMoving(t *testing.T, c *suite.Cluster, b *velerov1.Backup) (active, finished int) {
	t.Helper()
	list := &velerov1.PodVolumeBackupList{}
	NewWithT(t).Expect(c.Client.List(t.Context(), list, client.InNamespace(tunedNamespace),
		client.MatchingLabels{velerov1.BackupNameLabel: velerov1.ValidLabelValue(b.Name)})).To(Succeed())
	for _, v := range list.Items {
		switch {
		case v.IsFinished():
			finished++
		case v.Status.Phase == velerov1.PodVolumeBackupPhaseInProgress:
			active++
		}
	}
	return active, finished
}

// moverPods are those of a backup in the tuned installation.
func moverPods(t *testing.T, c *suite.Cluster, b *velerov1.Backup) []corev1.Pod {
	t.Helper()
	pods := &corev1.PodList{}
	NewWithT(t).Expect(c.Client.List(t.Context(), pods, client.InNamespace(tunedNamespace), client.HasLabels{velerov1.MoverNodeLabel})).To(Succeed())
	var movers []corev1.Pod
	for _, p := range pods.Items {
		if strings.HasPrefix(p.Name, b.Name) { // the last ones of the backup before may still be there
			movers = append(movers, p)
		}
	}
	return movers
}

// expectCompressed backs up and restores text that nothing but compression makes
// smaller.
func expectCompressed(t *testing.T, c *suite.Cluster, folder string) {
	t.Helper()
	g := NewWithT(t)
	ns := c.NewNamespace(t, "text")
	c.Apply(t, suite.Pod(ns, "app"))
	dir := c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data")
	text := fmt.Appendf(nil, "%x", suite.Random(11, 8<<20))
	g.Expect(os.WriteFile(filepath.Join(dir, "sentinel"), []byte("the data is here\n"), 0o600)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, "text"), text, 0o600)).To(Succeed())
	want := readTree(g, dir)
	b := suite.NewBackup(ns)
	b.Namespace = tunedNamespace

	c.RunBackup(t, b)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	g.Expect(bytesIn(t, filepath.Join(folder, "kopia", ns))).To(BeNumerically("<", len(text)*3/4), "of %d bytes read", len(text))
	g.Expect(compressedContents(t, folder, ns)).To(BeNumerically(">", 0))
	r := suite.NewRestore(b, ns+"-copy")
	r.Namespace = tunedNamespace
	c.CleanNamespace(t, ns+"-copy")
	c.RunRestore(t, r)
	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	g.Expect(readTree(g, c.EmptyDir(c.RunningPods(t, ns+"-copy", "app", 1)[0], "data"))).To(Equal(want))
}

// compressedContents counts the contents of a repository's files that say that
// they are compressed.
func compressedContents(t *testing.T, folder, ns string) (n int) {
	t.Helper()
	g := NewWithT(t)
	r := repositoryOf(t, suite.Connect(t), ns)
	g.Expect(os.WriteFile(r.PasswordFile, []byte("a password"), 0o600)).To(Succeed())
	r.Location = location.Location{
		Name: "default", Provider: location.ProviderFilesystem, Config: map[string]string{location.ConfigFilesystemPath: folder},
	}
	opened, err := repository.Open(t.Context(), r, repository.ForReading)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(opened.Close(context.WithoutCancel(t.Context()))).To(Succeed()) }()
	contents := opened.Repository.(repo.DirectRepository).ContentReader()
	g.Expect(contents.IterateContents(t.Context(), content.IterateOptions{}, func(info content.Info) error {
		if !info.ContentID.HasPrefix() && info.CompressionHeaderID != 0 { // a prefix is of kopia's own objects
			n++
		}
		return nil
	})).To(Succeed())
	return n
}

// restartAgents restarts the node agents of an installation and returns when the
// new ones work.
func restartAgents(t *testing.T, c *suite.Cluster, installation string) {
	t.Helper()
	g := NewWithT(t)
	agents := &corev1.PodList{}
	list := func() []corev1.Pod {
		g.Expect(c.Client.List(t.Context(), agents, client.InNamespace(installation), client.MatchingLabels{"name": "node-agent"})).To(Succeed())
		return agents.Items
	}
	old := list()
	g.Expect(old).NotTo(BeEmpty())
	for i := range old {
		g.Expect(c.Client.Delete(t.Context(), &old[i], client.GracePeriodSeconds(0))).To(Succeed())
	}
	g.Eventually(func(g Gomega) {
		now := list()
		g.Expect(now).To(HaveLen(len(old)))
		for _, p := range now {
			g.Expect(p.CreationTimestamp.Time).To(BeTemporally(">=", old[0].CreationTimestamp.Time))
			g.Expect(p.UID).NotTo(Equal(old[0].UID))
			g.Expect(p.Status.ContainerStatuses).To(ContainElement(HaveField("Ready", true)))
		}
	}, suite.Long, "100ms").Should(Succeed())
}
