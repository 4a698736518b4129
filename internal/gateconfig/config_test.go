package gateconfig

import (
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

const image = "registry.example.com/podkeep/podkeep:v1.2.3"

func TestParseWithoutConfigMapGivesTheDefaults(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got, problems := Parse(nil, image)

	g.Expect(got).To(Equal(standard()))
	g.Expect(problems).To(BeEmpty())
}

func TestParse(t *testing.T) {
	t.Parallel()
	both := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
	tests := map[string]struct {
		data map[string]string

		want         func(*Config) // changes to the defaults
		wantProblems []string      // keys
	}{
		"an image with a tag is taken as it is": {
			data: map[string]string{KeyImage: "localhost:5000/velero:v9"},
			want: func(c *Config) { c.Image = "localhost:5000/velero:v9" },
		},
		"an image without a tag gets the tag of podkeep": {
			data: map[string]string{KeyImage: "localhost:5000/team/helper"},
			want: func(c *Config) { c.Image = "localhost:5000/team/helper:v1.2.3" },
		},
		"an image with a digest gets no tag": {
			data: map[string]string{KeyImage: "mirror.example.com/helper@sha256:0123"},
			want: func(c *Config) { c.Image = "mirror.example.com/helper@sha256:0123" },
		},
		"an image without a slash is refused": {
			data: map[string]string{KeyImage: "busybox"}, wantProblems: []string{KeyImage},
		},
		"an image with a space is refused": {
			data: map[string]string{KeyImage: "a/b c"}, wantProblems: []string{KeyImage},
		},
		"a command is one word": {
			data: map[string]string{KeyCommand: "/restore wait"},
			want: func(c *Config) { c.Command = []string{"/restore wait"} },
		},
		"empty values are no values": {
			data: map[string]string{KeyCommand: "", KeyImage: " ", KeyCPULimit: "", KeyDeadline: ""},
		},
		"resources": {
			data: map[string]string{KeyCPURequest: "50m", KeyMemRequest: "16Mi", KeyCPULimit: "1", KeyMemLimit: "64Mi"},
			want: func(c *Config) { c.Resources, c.ConfiguredResources = resources("50m", "16Mi", "1", "64Mi"), both },
		},
		"a limit of 0 is no limit": {
			data: map[string]string{KeyCPULimit: "0", KeyMemLimit: "0"},
			want: func(c *Config) { c.Resources.Limits, c.ConfiguredResources = corev1.ResourceList{}, both },
		},
		"a request above the default limit raises it": {
			data: map[string]string{KeyCPURequest: "2", KeyMemRequest: "1Gi"},
			want: func(c *Config) { c.Resources, c.ConfiguredResources = resources("2", "1Gi", "2", "1Gi"), both },
		},
		"a request above its limit is lowered": {
			data: map[string]string{KeyCPURequest: "2", KeyCPULimit: "1"},
			want: func(c *Config) {
				c.Resources, c.ConfiguredResources = resources("1", DefaultMemory, "1", DefaultMemory), both[:1]
			},
			wantProblems: []string{KeyCPURequest},
		},
		"a limit below the default request lowers it": {
			data: map[string]string{KeyMemLimit: "64Mi"},
			want: func(c *Config) {
				c.Resources, c.ConfiguredResources = resources(DefaultCPU, "64Mi", DefaultCPU, "64Mi"), both[1:]
			},
		},
		"quantities that do not parse": {
			data:         map[string]string{KeyCPURequest: "lots", KeyMemLimit: "-1Mi"},
			want:         func(c *Config) { c.ConfiguredResources = both },
			wantProblems: []string{KeyCPURequest, KeyMemLimit},
		},
		"three keys of the security context": {
			data: map[string]string{KeyRunAsUser: "999", KeyRunAsGroup: "998", KeyAllowPrivilegeEscalation: "false"},
			want: func(c *Config) {
				c.SecurityContext = &corev1.SecurityContext{
					RunAsUser: ptr.To[int64](999), RunAsGroup: ptr.To[int64](998), AllowPrivilegeEscalation: ptr.To(false),
				}
			},
		},
		"secCtx overrides the three keys field by field": {
			data: map[string]string{KeyRunAsUser: "999", KeyRunAsGroup: "998", KeySecurityContext: "runAsUser: 1001\ncapabilities:\n  drop: [ALL]\n"},
			want: func(c *Config) {
				c.SecurityContext = &corev1.SecurityContext{
					RunAsUser: ptr.To[int64](1001), RunAsGroup: ptr.To[int64](998),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				}
			},
		},
		"a secCtx with a typing error leaves the other keys": {
			data:         map[string]string{KeyRunAsUser: "999", KeySecurityContext: "runAsUsr: 1001"},
			want:         func(c *Config) { c.SecurityContext = &corev1.SecurityContext{RunAsUser: ptr.To[int64](999)} },
			wantProblems: []string{KeySecurityContext},
		},
		"a security context without a usable key is none": {
			data:         map[string]string{KeyRunAsUser: "root", KeyRunAsGroup: "-1", KeyAllowPrivilegeEscalation: "nope"},
			wantProblems: []string{KeyAllowPrivilegeEscalation, KeyRunAsGroup, KeyRunAsUser},
		},
		"a deadline": {
			data: map[string]string{KeyDeadline: "45m"},
			want: func(c *Config) { c.Deadline = 45 * time.Minute },
		},
		"a deadline of 0 is none": {data: map[string]string{KeyDeadline: "0"}},
		"a deadline needs a unit": {
			data: map[string]string{KeyDeadline: "45"}, wantProblems: []string{KeyDeadline},
		},
		"a deadline is not negative": {
			data: map[string]string{KeyDeadline: "-1m"}, wantProblems: []string{KeyDeadline},
		},
		"unknown keys are reported": {
			data: map[string]string{"imgae": "a/b"}, wantProblems: []string{"imgae"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			want := standard()
			if tc.want != nil {
				tc.want(&want)
			}

			got, problems := Parse([]corev1.ConfigMap{configMap("gate", tc.data)}, image)

			g.Expect(apiequality.Semantic.DeepEqual(got, want)).To(BeTrue(), "got %+v\nwant %+v", got, want)
			g.Expect(keysOf(problems)).To(Equal(tc.wantProblems))
		})
	}
}

func TestParseUsesNoneOfSeveralConfigMaps(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got, problems := Parse([]corev1.ConfigMap{
		configMap("z", map[string]string{KeyDeadline: "1h"}),
		configMap("a", map[string]string{KeyDeadline: "2h"}),
	}, image)

	g.Expect(got).To(Equal(standard()))
	g.Expect(problems).To(HaveLen(1))
	g.Expect(problems[0].ConfigMap).To(Equal("a, z"))
	g.Expect(problems[0].String()).To(HavePrefix("ConfigMaps a, z all have the labels"))
}

func TestProblemSaysWhatIsUsedInstead(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	_, problems := Parse([]corev1.ConfigMap{configMap("gate", map[string]string{KeyCPULimit: "lots"})}, image)

	g.Expect(problems).To(HaveExactElements(Problem{
		ConfigMap: "gate", Key: KeyCPULimit, Value: "lots", Message: "must be a quantity such as 100m; using 100m",
	}))
	g.Expect(problems[0].String()).To(Equal(`data.cpuLimit: Invalid value: "lots": must be a quantity such as 100m; using 100m`))
}

func TestSelector(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		labels map[string]string
		want   bool
	}{
		"both labels, whatever the value of the first": {
			labels: map[string]string{velerov1.PluginConfigLabel: "", velerov1.PodVolumeRestoreLabel: "RestoreItemAction"}, want: true,
		},
		"the ConfigMap of another action": {
			labels: map[string]string{velerov1.PluginConfigLabel: "", velerov1.ChangeStorageClassLabel: "RestoreItemAction"},
		},
		"a mover pod's label alone": {labels: map[string]string{velerov1.PodVolumeRestoreLabel: "RestoreItemAction"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			NewWithT(t).Expect(Selector().Matches(labels.Set(tc.labels))).To(Equal(tc.want))
		})
	}
}

// FuzzParse checks what must hold for any ConfigMap: no panic, a Config that the
// API accepts, and a Problem for every value that is not used.
func FuzzParse(f *testing.F) {
	f.Add("a/b", "100m", "0", "999", "runAsUser: 1", "5m")
	f.Add("", "", "", "", "", "")
	f.Add("a/b:c@sha256:0", "1e400", "-0", "9999999999", "{", "1ns")
	f.Add("/", "0", "1", "-1", "capabilities: {drop: [ALL]}", "-1h")
	f.Fuzz(func(t *testing.T, img, request, limit, user, sc, deadline string) {
		g := NewWithT(t)
		data := map[string]string{
			KeyImage: img, KeyCPURequest: request, KeyCPULimit: limit,
			KeyRunAsUser: user, KeySecurityContext: sc, KeyDeadline: deadline,
		}

		c, problems := Parse([]corev1.ConfigMap{configMap("gate", data)}, image)

		g.Expect(c.Image).To(ContainSubstring("/"))
		g.Expect(c.Command).To(HaveLen(1))
		g.Expect(c.Deadline).To(BeNumerically(">=", 0))
		if cpu, limited := c.Resources.Limits[corev1.ResourceCPU]; limited {
			g.Expect(c.Resources.Requests.Cpu().Cmp(cpu)).To(BeNumerically("<=", 0))
		}
		for _, p := range problems {
			g.Expect(p.Key).NotTo(BeEmpty())
			g.Expect(p.Message).NotTo(ContainSubstring("\n"))
		}
	})
}

func standard() Config {
	return Config{
		Image:     image,
		Command:   []string{"/velero-restore-helper"},
		Resources: resources("100m", "128Mi", "100m", "128Mi"),
	}
}

func resources(cpuRequest, memRequest, cpuLimit, memLimit string) corev1.ResourceRequirements {
	list := func(cpu, mem string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(mem)}
	}
	return corev1.ResourceRequirements{Requests: list(cpuRequest, memRequest), Limits: list(cpuLimit, memLimit)}
}

func configMap(name string, data map[string]string) corev1.ConfigMap {
	m := corev1.ConfigMap{Data: data}
	m.Name = name
	return m
}

func keysOf(problems []Problem) []string {
	var keys []string
	for _, p := range problems {
		keys = append(keys, p.Key)
	}
	slices.Sort(keys)
	return keys
}
