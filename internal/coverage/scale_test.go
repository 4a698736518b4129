package coverage

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// largePod is a pod as workloads have it: a claim, a scratch volume, what Kubernetes
// fills, a sidecar, labels.
func largePod(i int) *corev1.Pod {
	mounts := []corev1.VolumeMount{{Name: "data", MountPath: "/data"}, {Name: "cache", MountPath: "/cache"}, {Name: "token", MountPath: "/token"}}
	env := make([]corev1.EnvVar, 20)
	for e := range env {
		env[e] = corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", e), Value: fmt.Sprintf("value %d of pod %d", e, i)}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: fmt.Sprintf("ns-%d", i%200), Name: fmt.Sprintf("app-%d-0", i), UID: types.UID(fmt.Sprintf("00000000-0000-0000-0000-%012d", i)),
			CreationTimestamp: metav1.NewTime(lastWeek),
			Labels: map[string]string{
				"app.kubernetes.io/name": fmt.Sprintf("app-%d", i), "app.kubernetes.io/part-of": "shop", "statefulset.kubernetes.io/pod-name": fmt.Sprintf("app-%d-0", i),
			},
			OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: fmt.Sprintf("app-%d", i), Controller: ptr.To(true)}},
		},
		Spec: corev1.PodSpec{
			NodeName:   "n1",
			Containers: []corev1.Container{{Name: "app", VolumeMounts: mounts, Env: env}, {Name: "sidecar", VolumeMounts: mounts, Env: env}},
			Volumes: []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: fmt.Sprintf("data-app-%d-0", i)}}},
				{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}},
			},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

// largeCluster has pods with a claim each, three backups of each claim, and
// schedules of all sorts.
func largeCluster(pods int) Facts {
	c := newCluster()
	c.policy("skip")
	for i := range pods {
		c.facts.Pods = append(c.facts.Pods, NewPod(largePod(i)))
		name := fmt.Sprintf("data-app-%d-0", i)
		c.claim(name, func(p *corev1.PersistentVolumeClaim) { p.Namespace = fmt.Sprintf("ns-%d", i%200) })
	}
	for b := range 3 {
		name := fmt.Sprintf("nightly-%d", b)
		c.backup(name, begunAt(lastNight.Add(-time.Duration(b)*24*time.Hour)), func(_ *velerov1.Backup, v *velerov1.PodVolumeBackup) { v.Name = "" })
		for i := range pods {
			c.facts.PodVolumeBackups = append(c.facts.PodVolumeBackups, velerov1.PodVolumeBackup{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", name, i), Labels: map[string]string{
					velerov1.BackupUIDLabel: "uid-" + name, velerov1.PVCUIDLabel: fmt.Sprintf("uid-data-app-%d-0", i),
				}},
				Status: velerov1.PodVolumeBackupStatus{Phase: velerov1.PodVolumeBackupPhaseCompleted},
			})
		}
	}
	everything := template(func(s *velerov1.BackupSpec) { s.IncludedNamespaces = []string{"*"} })
	c.schedule("nightly", everything).schedule("hourly", everything, at("@hourly"), optIn).schedule("weekly", everything, template(named), at("@weekly"))
	return c.facts
}

func BenchmarkRows(b *testing.B) {
	for _, pods := range []int{500, 5000} {
		b.Run(fmt.Sprintf("pods=%d", pods), func(b *testing.B) {
			facts := largeCluster(pods)
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				for range Rows(facts) {
					n++
				}
				if n != 2*pods {
					b.Fatal(n)
				}
			}
		})
	}
}

// TestWorkGrowsWithTheCluster counts allocations, which do not depend on the machine.
func TestWorkGrowsWithTheCluster(t *testing.T) {
	g := NewWithT(t)
	cost := func(pods int) float64 {
		facts := largeCluster(pods)
		return testing.AllocsPerRun(1, func() {
			for range Rows(facts) {
			}
		})
	}

	small, large := cost(100), cost(1000)

	g.Expect(large/small).To(BeNumerically("<", 11), "ten times the volumes")
	g.Expect(large/1000).To(BeNumerically("<", 200), "allocations per pod")
}

// TestPodsAreSmall pins what a kept pod takes: with 5 000 of them the server stays
// within its budget.
func TestPodsAreSmall(t *testing.T) {
	g := NewWithT(t)
	const pods = 2000
	kept := make([]*Pod, pods)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range kept {
		kept[i] = NewPod(largePod(i))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)

	each := float64(after.HeapAlloc-before.HeapAlloc) / pods
	t.Logf("%.0f bytes per pod", each)
	g.Expect(each).To(BeNumerically("<", 3000))
	runtime.KeepAlive(kept)
}

// TestEachReasonIsDocumented compares the constants with the page.
func TestEachReasonIsDocumented(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	source, err := os.ReadFile("verdict.go")
	g.Expect(err).NotTo(HaveOccurred())
	page, err := os.ReadFile("../../docs/coverage.md")
	g.Expect(err).NotTo(HaveOccurred())
	reasons := regexp.MustCompile(`(?m)^\s+Reason\w+\s+Reason = "(\w+)"`).FindAllSubmatch(source, -1)
	g.Expect(len(reasons)).To(BeNumerically(">", 15))
	for _, r := range reasons {
		g.Expect(strings.Contains(string(page), "`"+string(r[1])+"`")).To(BeTrue(), "%s is not in docs/coverage.md", r[1])
	}
}
