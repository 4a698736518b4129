package maintenance

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/repositoryconfig"
	"github.com/podkeep/podkeep/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files")

func key(name, key string) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}
}

// serverPod is as "podkeep install" makes it.
func serverPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "velero", Name: "velero-x", Labels: map[string]string{"deploy": "velero", "azure.workload.identity/use": "true"},
			Annotations: map[string]string{"prometheus.io/scrape": "true"},
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: "velero",
			SecurityContext:    &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532)},
			Tolerations: []corev1.Toleration{
				{Key: "infra", Operator: corev1.TolerationOpExists},
				{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, TolerationSeconds: ptr.To[int64](300)},
			},
			Containers: []corev1.Container{{
				Name: "velero", Image: "registry.example.com/podkeep:v1",
				Env:             []corev1.EnvVar{{Name: "POD_NAME", Value: "x"}, {Name: "HTTPS_PROXY", Value: "http://proxy:3128"}},
				SecurityContext: &corev1.SecurityContext{ReadOnlyRootFilesystem: ptr.To(true)},
			}},
		},
	}
}

func onNodes(requirements ...corev1.NodeSelectorRequirement) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: requirements}},
	}}}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	for name, mod := range map[string]func(*request){
		"s3": func(q *request) {
			q.credentials = key("cloud-credentials", "cloud")
			q.repository.Spec.RepositoryConfig = map[string]string{"cacheLimitMB": "2048"}
		},
		"filesystem-configured": func(q *request) {
			q.location.Spec.Provider = "filesystem"
			q.location.Spec.Config = map[string]string{"fspath": "/backups", "claim": "store"}
			q.settings = repositoryconfig.Maintenance{
				PriorityClassName: "low", PodLabels: map[string]string{"team": "storage"}, PodAnnotations: map[string]string{"a": "b"},
				Affinity: onNodes(corev1.NodeSelectorRequirement{Key: "disk", Operator: "In", Values: []string{"ssd"}}),
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			q := request{repository: ready(), location: bsl(), server: serverPod(), password: key("velero-repo-credentials", "repository-password")}
			mod(&q)

			job, err := build(q)

			g.Expect(err).NotTo(HaveOccurred())
			_, err = wire.ParseTask(job.Spec.Template.Spec.Containers[0].Args[1])
			g.Expect(err).NotTo(HaveOccurred())
			got, err := yaml.Marshal(job)
			g.Expect(err).NotTo(HaveOccurred())
			golden := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				g.Expect(os.WriteFile(golden, got, 0o600)).To(Succeed())
			}
			want, err := os.ReadFile(golden)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(got)).To(Equal(string(want)), "rewrite it with -update if this is meant")
		})
	}
}

func TestBuildNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mod  func(*request)
		want string
	}{
		"a folder that nothing is mounted at": {
			func(q *request) {
				q.location.Spec.Provider, q.location.Spec.Config = "filesystem", map[string]string{"fspath": "/backups"}
			},
			`"claim" or "hostPath" must say what is mounted at "/backups"`,
		},
		"a location without a bucket": {func(q *request) { q.location.Spec.ObjectStorage.Bucket = "" }, "spec.objectStorage.bucket"},
		"a server of other containers": {
			func(q *request) {
				q.server.Spec.Containers = []corev1.Container{{Name: "a"}, {Name: "b"}}
			},
			`has no container "velero"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := request{repository: ready(), location: bsl(), server: serverPod(), password: key("s", "k")}
			tc.mod(&q)
			_, err := build(q)
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(tc.want)))
		})
	}
}

func TestJobName(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	long := func(name string) *velerov1.BackupRepository {
		return ready(func(r *velerov1.BackupRepository) { r.Name = strings.Repeat("n", 60) + name })
	}

	g.Expect(jobName(ready())).To(Equal("shop-default-kopia-maintain-job-1795334400000"))
	g.Expect(jobName(long("a"))).To(HavePrefix("repo-maintain-job-"))
	g.Expect(len(jobName(long("a")))).To(BeNumerically("<=", 63))
	g.Expect(jobName(long("a"))).NotTo(Equal(jobName(long("b"))))
}
