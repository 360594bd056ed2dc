0000000000000000000000000000000000000000ASCII SPSS PORT FILE                    
00000000000000000000000000000000000000000000000000000000000000000000000000000000
00000000000000000000000000000000000000000000000000000000000000000000000000000000
0000000000000000000000000123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst
uvwxyz .<(+|&[]!$*);^-/|,%_>?`:#@'="000000~000000000000000000000{}\0000000000000
00000000000000000000000000000000000000000000000000000000SPSSPORTA8/202611296/202
80618/ReadStat317/https://github.com/WizardMac/ReadStat4A/5C/70/2/ID5/8/2/5/8/2/
7G/3/NOM1/G/0/1/G/0/7C/6/PRENOM1/C/0/1/C/0/70/3/DDNK/B/0/K/B/0/7F/3/NIR1/F/0/1/F
/0/7A/3/TEL1/A/0/1/A/0/718/5/EMAIL1/18/0/1/18/0/7N/7/ADRESSE1/N/0/1/N/0/75/2/CP1
/5/0/1/5/0/7F/5/VILLE1/F/0/1/F/0/F13A/9/Virecourt6/OceaneI369I00/F/2010159176684
70A/0199001000T/oceane.virecourt0@example.orgK/199 rue des Tilleuls5/292005/Bres
t13H/8/BRULEFER6/ElodieGMNCC00/F/269129315818641A/0639981097S/elodie.brulefer1@e
xample.orgN/180 rue des Lavandieres5/590005/Lille13O/A/Pontgibert5/HerveH3F0C00/
F/178030611728279A/0639981194T/herve.pontgibert2@example.orgL/5 rue des Lavandie
res5/200007/Ajaccio141/G/QUEVRAIN-TESTARD7/RaphaelF2G3600/F/131041324312442A/063
998129116/raphael.quevraintestard3@example.orgH/71 rue des Forges5/350006/Rennes
148/9/Grandlieu7/MickaelFNPNI00/F/147092905113301A/019900121210/mickael.grandlie
u4@example.orgM/57 rue des Lavandieres5/67000A/Strasbourg14F/A/PLOUGASTIN7/Rapha
elI7RA+3/F/104092913637592A/063998148511/raphael.plougastin5@example.orgH/50 rue
 des Ecoles5/130019/Marseille14M/B/DorvilliersC/Marie-ClaudeHQHOC00/F/2951235298
33756A/063998158216/marieclaude.dorvilliers6@example.orgK/105 rue des Tilleuls5/
01000F/Bourg-en-Bresse14T/8/ZIMMERLE6/BenoitIF5E+3/F/110042A23328776A/0639981679
S/benoit.zimmerle7@example.orgK/160 rue des Tilleuls5/063004/Nice156/G/Quevrain-
Testard6/SoleneGF2KO00/F/264010105268735A/019900142415/solene.quevraintestard8@e
xample.orgN/190 rue des Lavandieres5/292005/Brest15D/9/COULANGES7/YannickIA4CO00
/F/106063502327870A/063998187310/yannick.coulanges9@example.orgH/17 rue des Ecol
es5/590005/Lille15K/A/Montcalvet6/JeromeHI5Q+3/F/189079308869837A/063998197011/j
erome.montcalvet10@example.orgL/7 rue des Lavandieres5/200007/Ajaccio15R/9/GUERI
NVAL6/BenoitHEB2O00/F/186072B35023649A/063998206710/benoit.guerinval11@example.o
rgK/159 rue des Tilleuls5/350006/Rennes164/A/Castagnoux7/MickaelHEGCO00/F/186093
539565188A/019900163612/mickael.castagnoux12@example.orgJ/21 rue des Tilleuls5/6
7000A/Strasbourg16B/B/CHANTELOUVE6/SoleneFPTQO00/F/249040615442717A/063998226112
/solene.chantelouve13@example.orgH/93 rue des Ecoles5/130019/Marseille16I/8/Peri
gnacB/Jean-PierreGSG6C00/F/174057516906412A/063998235813/jeanpierre.perignac14@e
xample.orgI/162 rue des Forges5/01000F/Bourg-en-Bresse16P/B/HAUDRICOURT6/NoemieI
065I00/F/298101339805581A/063998245512/noemie.haudricourt15@example.orgK/104 rue
 des Tilleuls5/063004/Nice172/B/Tournebride6/HeleneGNO0O00/F/270090132003448A/01
9900184812/helene.tournebride16@example.orgH/19 rue des Forges5/292005/Brest179/
B/CHANTELOUVE6/ElodieFR88O00/F/250049303969426A/063998264912/elodie.chantelouve1
7@example.orgI/143 rue des Forges5/590005/Lille17G/9/Coulanges6/CelineG1T9600/F/
253121323621534A/063998274610/celine.coulanges18@example.orgH/33 rue des Forges5
/200007/Ajaccio17N/A/MONTCALVET6/NoemieHQ77I00/F/295093530112335A/063998284311/n
oemie.montcalvet19@example.orgI/146 rue des Forges5/350006/Rennes180/9/Malestrac
6/CelineFODBI00/F/248027539039052A/019900206010/celine.malestrac20@example.orgN/
122 rue des Lavandieres5/67000A/Strasbourg187/A/BEAUJARDIN8/FrancoisI3K2C00/F/10
1060614556363A/063998303713/francois.beaujardin21@example.orgI/178 rue des Forge
s5/130019/Marseille18E/8/Perignac6/GaetanG1GS+3/F/153082A18008222A/0639983134T/g
aetan.perignac22@example.orgM/93 rue des Lavandieres5/01000F/Bourg-en-Bresse18L/
8/ROUXELIN3/ZoeH5HSC00/F/279109313537520A/0639983231Q/zoe.rouxelin23@example.org
J/22 rue des Tilleuls5/063004/Nice18S/8/NimontetB/Jean-PierreF4CG+3/F/1320993281
15144A/019900227213/jeanpierre.nimontet24@example.orgN/186 rue des Lavandieres5/
292005/Brest195/A/MONTCALVET3/ZoeHF0LI00/F/287010608644136A/0639983425S/zoe.mont
calvet25@example.orgH/59 rue des Ecoles5/590005/Lille19C/A/Beaujardin4/InesGAD8C
00/F/260062B31940380A/0639983522T/ines.beaujardin26@example.orgH/41 rue des Forg
es5/200007/Ajaccio19J/8/PERIGNAC7/MickaelIBIEC00/F/107077513115115A/063998361910
/mickael.perignac27@example.orgJ/45 rue des Tilleuls5/350006/Rennes19Q/G/Quevrai
n-Testard6/LeonieGODMO00/F/271030602753704A/019900248416/leonie.quevraintestard2
8@example.orgM/76 rue des Lavandieres5/67000A/Strasbourg1A3/D/SAINT-CRESPIN6/Ben
oitI2HMO00/F/100086713054631A/063998381313/benoit.saintcrespin29@example.orgK/15
2 rue des Tilleuls5/130019/Marseille1AA/B/Haudricourt6/SoleneHQ89I00/F/295096705
430891A/063998391012/solene.haudricourt30@example.orgN/187 rue des Lavandieres5/
01000F/Bourg-en-Bresse1AH/B/DORVILLIERS5/HerveHDDH600/F/185116719169150A/0639984
00711/herve.dorvilliers31@example.orgK/159 rue des Tilleuls5/063004/Nice1AO/9/Gr
andlieu3/ZoeFRR2+3/F/250109304767003A/0199002696R/zoe.grandlieu32@example.orgJ/3
5 rue des Tilleuls5/292005/Brest1B1/A/ROCQUEMARD6/GaetanHG5L600/F/18712591475469
7A/063998420111/gaetan.rocquemard33@example.orgM/43 rue des Lavandieres5/590005/
Lille1B8/A/Labastiere6/GaetanFKP0C00/F/145052938439664A/063998429811/gaetan.laba
stiere34@example.orgI/151 rue des Forges5/200007/Ajaccio1BF/8/ZIMMERLE8/Thibault
FOH3I00/F/148036706634313A/063998439511/thibault.zimmerle35@example.orgI/162 rue
 des Ecoles5/350006/Rennes1BM/8/Mazeyrac6/GaetanGKATI00/F/168027516305955A/01990
02908T/gaetan.mazeyrac36@example.orgK/187 rue des Tilleuls5/67000A/Strasbourg1BT
/9/GUERINVAL3/ZoeHCM7600/F/285042A12228274A/0639984589R/zoe.guerinval37@example.
orgN/171 rue des Lavandieres5/130019/Marseille1C6/9/Virecourt7/YannickHEH8C00/F/
186096733733024A/063998468611/yannick.virecourt38@example.orgJ/19 rue des Tilleu
ls5/01000F/Bourg-en-Bresse1CD/9/BORRELIER6/CecileI55CC00/F/202082931952612A/0639
98478310/cecile.borrelier39@example.orgH/47 rue des Ecoles5/063004/Nice1CK/9/Bor
relier4/InesFIO6C00/F/243105917443616A/0199003120S/ines.borrelier40@example.orgH
/43 rue des Ecoles5/292005/Brest1CR/C/OTTAVIANELLI6/BenoitFA74C00/F/137032B35553
990A/063998497713/benoit.ottavianelli41@example.orgM/82 rue des Lavandieres5/590
005/Lille1D4/B/Wattignelle5/HerveGF4LI00/F/164015929402173A/063998507411/herve.w
attignelle42@example.orgI/111 rue des Ecoles5/200007/Ajaccio1DB/A/PLOUGASTIN7/Gr
egoryG3T7I00/F/155060616846922A/063998517112/gregory.plougastin43@example.orgN/1
68 rue des Lavandieres5/350006/Rennes1DI/9/MarvilletB/Jean-PierreI1LM+3/F/199126
725965295A/019900333214/jeanpierre.marvillet44@example.orgM/50 rue des Lavandier
es5/67000A/Strasbourg1DP/8/BRULEFER6/NoemieGL91600/F/268102917733401A/0639985365
T/noemie.brulefer45@example.orgH/12 rue des Forges5/130019/Marseille1E2/G/Quevra
in-Testard8/StephaneGG6F600/F/164111307321950A/063998546218/stephane.quevraintes
tard46@example.orgH/39 rue des Forges5/01000F/Bourg-en-Bresse1E9/8/NIMONTET6/Sol
eneI6M4+3/F/203106722833646A/0639985559T/solene.nimontet47@example.orgN/117 rue 
des Lavandieres5/063004/Nice1EG/9/Escoubard6/LeonieFRS4+3/F/250109335038030A/019
900354410/leonie.escoubard48@example.orgJ/17 rue des Tilleuls5/292005/Brest1EN/9
/MALESTRAC8/StephaneHQOSO00/F/196032933839578A/063998575312/stephane.malestrac49
@example.orgM/29 rue des Lavandieres5/590005/Lille1F0/D/Saint-Crespin4/ComeG80MC
00/F/158086729156206A/063998585011/come.saintcrespin50@example.orgI/189 rue des 
Ecoles5/200007/Ajaccio1F7/A/ETCHEBARNE7/MickaelI5FJI00/F/102116711218707A/063998
594712/mickael.etchebarne51@example.orgH/91 rue des Ecoles5/350006/Rennes1FE/A/B
eaujardin6/MaelysID1E+3/F/208082A29921526A/019900375611/maelys.beaujardin52@exam
ple.orgJ/61 rue des Tilleuls5/67000A/Strasbourg1FL/F/DE LA BROSSIERE8/BereniceHR
59600/F/296067528246358A/063998614116/berenice.delabrossiere53@example.orgL/1 ru
e des Lavandieres5/130019/Marseille1FS/8/Zimmerle6/HeleneHMFKC00/F/2921193272157
66A/0639986238T/helene.zimmerle54@example.orgH/32 rue des Forges5/01000F/Bourg-e
n-Bresse1G5/9/MALESTRAC4/ComeGE5RI00/F/163056719704048A/0639986335S/come.malestr
ac55@example.orgN/163 rue des Lavandieres5/063004/Nice1GC/8/Nimontet4/InesF29RI0
0/F/231022B36700309A/0199003968R/ines.nimontet56@example.orgH/18 rue des Forges5
/292005/Brest1GJ/8/ZIMMERLE3/ZoeG5QSO00/F/256123525052419A/0639986529Q/zoe.zimme
rle57@example.orgN/169 rue des Lavandieres5/590005/Lille1GQ/9/Tremoulet8/Thibaul
tHGTRI00/F/188080617125516A/063998662612/thibault.tremoulet58@example.orgN/100 r
ue des Lavandieres5/200007/Ajaccio1H3/8/ROUXELIN6/LeonieH5HSC00/F/27910933831696
1A/0639986723T/leonie.rouxelin59@example.orgH/28 rue des Ecoles5/350006/RennesZZ
